import type { Context } from 'hono'
import { z } from 'zod'
import type { ServerEnv } from '../http/request-id.ts'
import { refusal } from '../http/errors.ts'
import { parseRequest } from '../openai/parse.ts'

/** Parameters of the address; one that comes twice is an error. */
export function queryOf<T>(c: Context<ServerEnv>, schema: z.ZodType<T>): T {
  const query = Object.entries(c.req.queries()).map(([name, values]): [string, string] => {
    if (values.length > 1) throw refusal(`${name}: is given twice`, { param: name })
    return [name, values[0]!]
  })
  return parseRequest(schema, Object.fromEntries(query))
}

export function limitUpTo(most: number, usual: number) {
  const message = `must be a number from 1 to ${most}`
  return z
    .string()
    .regex(/^\d{1,6}$/, message)
    .transform(Number)
    .refine((value) => value >= 1 && value <= most, message)
    .default(usual)
}

/** The part of a list that begins behind `after`, in OpenAI's form. */
export function pageOf<T extends { readonly id: string }>(
  items: readonly T[],
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
) {
  const at = after === undefined ? -1 : items.findIndex(({ id }) => id === after)
  if (after !== undefined && at < 0)
    throw refusal('after: there is nothing of that id', { param: 'after', code: 'invalid_value' })
  const data = items.slice(at + 1, at + 1 + limit)
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + limit < items.length,
  }
}
