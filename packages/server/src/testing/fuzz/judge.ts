import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import type { Media, OpenApi, Schema } from './document.ts'
import type { Exchange } from './exchange.ts'
import type { FuzzRequest } from './requests.ts'

/** Says what is wrong with answers by the document alone; an independent validator reads its schemas. */
export class Judge {
  readonly #ajv = new Ajv2020({ strict: false, allErrors: false })
  readonly #validators = new Map<Schema, ValidateFunction>()
  readonly #document: OpenApi

  constructor(document: OpenApi) {
    this.#document = document
    this.#ajv.addSchema(document, 'openapi')
  }

  /** Faults of an answer; none if it is as documented. */
  faultsOf({ template, method, headers, body }: FuzzRequest, answer: Exchange): string[] {
    const { status, type, text, isLeft } = answer
    const operations = this.#document.paths[template]!
    const operation = operations[method === 'HEAD' ? 'get' : method.toLowerCase()]
    // what is not in the document: a method, and the paths that odd parameters make
    const isElsewhere = [404, 405, 401, 403].includes(status) && (!operation || template.includes('{'))
    const media = operation?.responses[status]?.content[type]
    const isRefused = status === 413 && body !== undefined && headers['content-type'] !== undefined
    if (!media && !isElsewhere && !(isRefused && !operation))
      return [`status ${status} with "${type}" is not documented`]
    const read = operation?.requestBody?.content['application/json']?.schema
    if (read && status === 200 && method !== 'HEAD' && body) {
      const faults = this.#faults(read, withoutNulls(body))
      if (faults.length > 0) return [`the request was taken, but ${faults[0]}`]
    }
    if (method === 'HEAD') return text === '' ? [] : ['an answer to HEAD has a body']
    if (type === 'text/event-stream') return this.#streamFaults(media!, text, isLeft)
    if (type !== 'application/json') return []
    const schema = media?.schema ?? { $ref: errorOf(template) }
    return this.#jsonFaults(schema, text)
  }

  #jsonFaults(schema: Schema, text: string): string[] {
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      return ['the answer is no JSON']
    }
    return this.#faults(schema, value)
  }

  #streamFaults(media: Media, text: string, isLeft: boolean): string[] {
    if (!text.endsWith('\n\n')) return ['a stream is cut off']
    const blocks = text.split('\n\n').filter((block) => block !== '' && !block.startsWith(':'))
    const isTyped = blocks[0]?.startsWith('event: ')
    const last = blocks.at(-1)
    const isWhole = isLeft || isTyped || last === 'data: [DONE]' || last?.startsWith('data: {"error":')
    const faults = blocks
      .filter((block) => block !== 'data: [DONE]')
      .flatMap((block) => {
        const data = /^(?:event: [\w.]+\n)?data: (.*)$/.exec(block)?.[1]
        if (data === undefined) return [`an event is not well formed: ${block.slice(0, 100)}`]
        // a stream that breaks ends with an error
        if (/^\{("type":"error",)?"error":/.test(data)) return []
        return this.#jsonFaults(media['x-event-schema']!, data)
      })
    return isWhole ? faults : [...faults, 'a stream has no end']
  }

  #faults(schema: Schema, value: unknown): string[] {
    let validate = this.#validators.get(schema)
    if (!validate) {
      const rooted = JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"openapi#/components')) as Schema
      validate = this.#ajv.compile(rooted)
      this.#validators.set(schema, validate)
    }
    if (validate(value)) return []
    return [`does not fit: ${this.#ajv.errorsText(validate.errors)}`]
  }
}

function errorOf(template: string): string {
  return `#/components/schemas/${template.startsWith('/v1/messages') ? 'MessagesError' : 'Error'}`
}

/** A body as the server reads it: a parameter that is null counts as absent. */
function withoutNulls(body: Buffer): unknown {
  const value = JSON.parse(new TextDecoder().decode(body)) as object
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null))
}
