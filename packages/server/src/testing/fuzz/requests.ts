import type { OpenApi, Operation } from './document.ts'
import { mutated, oddContentTypes, oddMethods, oddPathParts, oddQueries, written } from './mutations.ts'
import type { Random } from './random.ts'
import type { Values } from './values.ts'

/** One request, and the route that it is made from. */
export interface FuzzRequest {
  readonly template: string
  readonly operation: Operation
  readonly method: string
  /** With the query, ready to be sent. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer | undefined
}

export interface Keys {
  readonly api: string
  readonly admin: string
}

/** All operations of a document, those named by `tags` more often than others. */
export function operationsOf(
  { paths }: OpenApi,
  isWanted: (operation: Operation) => boolean,
): readonly { readonly template: string; readonly method: string; readonly operation: Operation }[] {
  return Object.entries(paths).flatMap(([template, operations]) =>
    Object.entries(operations)
      .filter(([, operation]) => isWanted(operation))
      .map(([method, operation]) => ({ template, method: method.toUpperCase(), operation })),
  )
}

/** A request to one operation: half of them as the document has it, the others wrong in one way or several. */
export function requestTo(
  { template, method, operation }: ReturnType<typeof operationsOf>[number],
  { values, random, keys }: { readonly values: Values; readonly random: Random; readonly keys: Keys },
): FuzzRequest {
  const isOdd = random.chance(0.5)
  const odd = (share: number): boolean => isOdd && random.chance(share)
  const path = template.replace(/\{(\w+)\}/g, (_, name: string) =>
    encoded(odd(0.8) ? random.pick(oddPathParts) : String(values.of({ type: 'string' }, name))),
  )
  const query = new URLSearchParams()
  for (const { name, in: place, schema } of operation.parameters)
    if (place === 'query' && random.chance(0.4))
      for (const value of [values.of(schema, name)].flat()) query.append(name, String(value))
  const search = odd(0.15) ? random.pick(oddQueries) : query.toString()
  const schema = operation.requestBody?.content['application/json']?.schema
  const hasBody = schema ? query.size === 0 || random.chance(0.5) : odd(0.2)
  const good = values.of(schema ?? {})
  const body = hasBody ? written(odd(0.7) ? mutated(good, random) : good, random, odd(0.2)) : undefined
  const type = odd(0.1) ? random.pick(oddContentTypes) : 'application/json'
  const key = operation.security.some((way) => 'admin' in way) ? keys.admin : keys.api
  const bearer = odd(0.08) ? random.pick(['wrong-key', '', keys.api, 'x'.repeat(2000)]) : key
  return {
    template,
    operation,
    method: odd(0.1) ? random.pick(oddMethods) : method,
    path: search === '' ? path : `${path}?${search}`,
    headers: {
      ...(bearer !== '' && { authorization: `Bearer ${bearer}` }),
      ...(body && type !== undefined && { 'content-type': type }),
      ...(odd(0.05) && { 'content-encoding': random.pick(['gzip', 'identity', 'br, gzip']) }),
      ...(odd(0.1) && { accept: random.pick(['text/html', 'text/event-stream', '*/*;q=0', ',,']) }),
      ...(odd(0.05) && { 'x-request-id': random.pick(['own-id', 'ä'.repeat(10), 'x'.repeat(500), '../']) }),
    },
    body,
  }
}

/** Odd ways to write a path stay as they are where a socket can carry them; half a character becomes U+FFFD. */
function encoded(part: string): string {
  return /^[\x21-\x7e]*$/.test(part) && !part.includes('?') && !part.includes('#')
    ? part
    : encodeURIComponent(Buffer.from(part).toString())
}
