import { pauseModes, wakeTags } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { z } from 'zod'
import type { ServerContext } from './context.ts'
import { refusal } from './http/errors.ts'
import { readJson } from './http/json-body.ts'
import type { ServerEnv } from './http/request-id.ts'
import { parseRequest } from './openai/parse.ts'

// Routes that control the engine, named as at vLLM; all behind the admin key.

type Handler = (c: Context<ServerEnv>, context: ServerContext) => Promise<Response>

/** Parameters of a command: of the address, of a body in JSON, or of both. */
async function parametersOf<T>(c: Context<ServerEnv>, { options }: ServerContext, schema: z.ZodType<T>): Promise<T> {
  const { body } = c.req.raw
  const given: unknown = body ? await readJson(c, options.maxBodyBytes) : {}
  const query = Object.fromEntries(
    Object.entries(c.req.queries()).map(([name, values]) => [name, values.length === 1 ? values[0] : values]),
  )
  const isObject = typeof given === 'object' && given !== null && !Array.isArray(given)
  return parseRequest(schema, isObject ? { ...query, ...given } : given)
}

/** In an address all values are text. */
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], {
  error: 'must be true or false',
})
const mode = z.enum(pauseModes).default('abort')
const level = z.union([z.literal([1, 2]), z.enum(['1', '2']).transform((text) => (text === '1' ? 1 : 2))], {
  error: 'must be 1 or 2',
})
const listOf = <T extends z.ZodType>(element: T) => z.union([z.array(element), element.transform((one) => [one])])

const pauseSchema = z.strictObject({ mode, clear_cache: flag.default(false) })
const sleepSchema = z.strictObject({ mode, level: level.default(1) })
const wakeSchema = z.strictObject({ tags: listOf(z.enum(wakeTags)).optional() })
const weightsSchema = z.strictObject({ directory: z.string().min(1).optional() })
const abortSchema = z
  .strictObject({ request_ids: listOf(z.string()).optional(), abort_all: flag.default(false) })
  .refine(({ request_ids, abort_all }) => (request_ids !== undefined) !== abort_all, {
    path: ['request_ids'],
    message: 'give either these or "abort_all": true',
  })

/** POST /pause */
export const postPause: Handler = async (c, context) => {
  const { mode, clear_cache } = await parametersOf(c, context, pauseSchema)
  await context.llm.pause({ mode, clearCache: clear_cache })
  return stateOf(c, context)
}

/** POST /resume */
export const postResume: Handler = async (c, context) => {
  await parametersOf(c, context, z.strictObject({}))
  await context.llm.resume()
  return stateOf(c, context)
}

/** POST /sleep */
export const postSleep: Handler = async (c, context) => {
  await context.llm.sleep(await parametersOf(c, context, sleepSchema))
  return stateOf(c, context)
}

/** POST /wake_up */
export const postWakeUp: Handler = async (c, context) => {
  const { tags } = await parametersOf(c, context, wakeSchema)
  await context.llm.wake(tags)
  return stateOf(c, context)
}

/** GET /is_paused and /is_sleeping */
export const getState: Handler = async (c, context) => stateOf(c, context)

function stateOf(c: Context<ServerEnv>, { llm }: ServerContext): Response {
  return c.json({ status: 'success', is_paused: llm.isPaused, is_sleeping: llm.isSleeping })
}

/** POST /update_weights */
export const postUpdateWeights: Handler = async (c, context) => {
  const { directory } = await parametersOf(c, context, weightsSchema)
  try {
    await context.llm.updateWeights(directory)
  } catch (error) {
    // who names a directory can mend it
    if (SlipwayError.is(error) && error.kind === 'checkpoint') throw refusal(error.message, { param: 'directory' })
    throw error
  }
  return c.json({ status: 'success', weights: context.llm.info.updatedWeights })
}

/** POST /abort_requests: by the id of the answer, or by the `x-request-id` that the client gave. */
export const postAbortRequests: Handler = async (c, context) => {
  const { request_ids } = await parametersOf(c, context, abortSchema)
  const aborted = [...context.open].filter(({ ids }) => !request_ids || request_ids.some((id) => ids.includes(id)))
  for (const generations of aborted) generations.abort()
  return c.json({ status: 'success', aborted: aborted.map(({ ids }) => ids[0]) })
}

/** POST /reset_prefix_cache */
export const postResetPrefixCache: Handler = async (c, context) => {
  await parametersOf(c, context, z.strictObject({}))
  await context.llm.resetPrefixCache()
  return c.json({ status: 'success' })
}
