import { pauseModes, wakeTags } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { z } from 'zod'
import type { ServerContext } from './context.ts'
import { refusal } from './http/errors.ts'
import type { ServerEnv } from './http/request-id.ts'

// Routes that control the engine, named as at vLLM; all behind the admin key.

type Handler<S extends z.ZodType> = (
  c: Context<ServerEnv>,
  context: ServerContext,
  asked: z.output<S>,
) => Promise<Response>

/** In an address all values are text. */
const flag = z.union([z.boolean(), z.enum(['true', 'false']).transform((text) => text === 'true')], {
  error: 'must be true or false',
})
const mode = z.enum(pauseModes).default('abort')
const level = z.union([z.literal([1, 2]), z.enum(['1', '2']).transform((text) => (text === '1' ? 1 : 2))], {
  error: 'must be 1 or 2',
})
const listOf = <T extends z.ZodType>(element: T) => z.union([z.array(element), element.transform((one) => [one])])

/** Of a command that takes no parameters. */
export const nothingSchema = z.strictObject({})
export const pauseSchema = z.strictObject({ mode, clear_cache: flag.default(false) })
export const sleepSchema = z.strictObject({ mode, level: level.default(1) })
export const wakeSchema = z.strictObject({ tags: listOf(z.enum(wakeTags)).optional() })
export const weightsSchema = z.strictObject({ directory: z.string().min(1).optional() })
export const abortSchema = z
  .strictObject({ request_ids: listOf(z.string()).optional(), abort_all: flag.default(false) })
  .refine(({ request_ids, abort_all }) => (request_ids !== undefined) !== abort_all, {
    path: ['request_ids'],
    message: 'give either these or "abort_all": true',
  })

/** POST /pause */
export const postPause: Handler<typeof pauseSchema> = async (c, context, { mode, clear_cache }) => {
  await context.llm.pause({ mode, clearCache: clear_cache })
  return getState(c, context)
}

/** POST /resume */
export const postResume: Handler<typeof nothingSchema> = async (c, context) => {
  await context.llm.resume()
  return getState(c, context)
}

/** POST /sleep */
export const postSleep: Handler<typeof sleepSchema> = async (c, context, asked) => {
  await context.llm.sleep(asked)
  return getState(c, context)
}

/** POST /wake_up */
export const postWakeUp: Handler<typeof wakeSchema> = async (c, context, { tags }) => {
  await context.llm.wake(tags)
  return getState(c, context)
}

/** GET /is_paused and /is_sleeping */
export function getState(c: Context<ServerEnv>, { llm }: ServerContext): Response {
  return c.json({ status: 'success', is_paused: llm.isPaused, is_sleeping: llm.isSleeping })
}

/** POST /update_weights */
export const postUpdateWeights: Handler<typeof weightsSchema> = async (c, context, { directory }) => {
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
export const postAbortRequests: Handler<typeof abortSchema> = async (c, context, { request_ids }) => {
  const aborted = [...context.open].filter(({ ids }) => !request_ids || request_ids.some((id) => ids.includes(id)))
  for (const generations of aborted) generations.abort()
  return c.json({ status: 'success', aborted: aborted.map(({ ids }) => ids[0]) })
}

/** POST /reset_prefix_cache */
export const postResetPrefixCache: Handler<typeof nothingSchema> = async (c, context) => {
  await context.llm.resetPrefixCache()
  return c.json({ status: 'success' })
}
