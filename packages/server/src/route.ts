import { requireGenerating } from '@slipway/engine'
import type { Context } from 'hono'
import type { z } from 'zod'
import type { ServerContext } from './context.ts'
import { requireReady } from './health.ts'
import { readJson } from './http/json-body.ts'
import type { ServerEnv } from './http/request-id.ts'
import { parseRequest } from './openai/parse.ts'

/** What a route answers under one status. */
export interface Answer {
  readonly description: string
  /** Of JSON. */
  readonly json?: z.ZodType
  /** Of each event, where the answer is or may be a stream of them. */
  readonly events?: z.ZodType
  /** Other media types. */
  readonly types?: readonly string[]
}

/** One route of the server: what is checked, and what the OpenAPI document says of it. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** As Hono writes it, with `:name` where a parameter stands. */
  readonly path: string
  readonly tag: string
  /** A line, and more where it is needed. */
  readonly summary: string
  readonly description?: string
  /** Who may ask: everybody, who has an API key (the default), or the admin. */
  readonly access?: 'open' | 'key' | 'admin'
  /** What has to be there: a model that is loaded, or one that generates text. */
  readonly needs?: 'model' | 'generation'
  /** Throws where the operator does not allow it. */
  readonly guard?: (context: ServerContext) => void
  /** What stands in the path, in words. */
  readonly parameters?: Readonly<Record<string, string>>
  /** The JSON body, if there is one. */
  readonly body?: z.ZodType
  /** What may stand in the address of a request without a body; all values are text. */
  readonly query?: z.ZodType
  /** The fields of a form, which the handler reads itself as they come. */
  readonly form?: z.ZodType
  /** Whether what the body says may stand in the address instead, where all values are text. */
  readonly isCommand?: boolean
  /** By status. */
  readonly answers: Readonly<Record<number, Answer>>
  /** Statuses of errors beside those that follow from the above. */
  readonly errors?: readonly number[]
  readonly handle: (c: Context<ServerEnv>, context: ServerContext) => Promise<Response>
}

interface Declaration<T> extends Omit<Route, 'handle' | 'body' | 'query'> {
  readonly body?: z.ZodType<T>
  readonly query?: z.ZodType<T>
  readonly handler: (c: Context<ServerEnv>, context: ServerContext, body: T) => Response | Promise<Response>
}

/** Declares a route whose handler gets the body, or the query, as its schema has read it. */
export function route<T = undefined>({ handler, ...route }: Declaration<T>): Route {
  return {
    ...route,
    async handle(c, context) {
      if (route.needs) requireReady(context)
      if (route.needs === 'generation') requireGenerating(context.llm.info)
      route.guard?.(context)
      const { body, query } = route
      if (query) return handler(c, context, parseRequest(query, queryOf(c)))
      return handler(c, context, body ? await bodyOf(c, context, route, body) : (undefined as T))
    },
  }
}

async function bodyOf<T>(
  c: Context<ServerEnv>,
  { options }: ServerContext,
  { isCommand = false }: Pick<Route, 'isCommand'>,
  schema: z.ZodType<T>,
): Promise<T> {
  if (!isCommand) return parseRequest(schema, await readJson(c, options.maxBodyBytes))
  const given: unknown = c.req.raw.body ? await readJson(c, options.maxBodyBytes) : {}
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given)
  return parseRequest(schema, isObject ? { ...queryOf(c), ...given } : given)
}

/** A parameter that comes several times is a list. */
function queryOf(c: Context<ServerEnv>): object {
  const all = Object.entries(c.req.queries())
  return Object.fromEntries(all.map(([name, values]) => [name, values.length === 1 ? values[0] : values]))
}
