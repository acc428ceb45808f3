import type { LLM } from '@slipway/engine'
import type { Context } from 'hono'
import { servedNames, version, type ServerContext } from './context.ts'
import { unavailable } from './http/errors.ts'
import type { ServerEnv } from './http/request-id.ts'
import { within } from './observe/engine-metrics.ts'

/**
 * GET /health: 200 while the process does its work, or mends itself; else it should be started again. Why loading failed
 * is for the log, not for the net.
 */
export function getHealth(c: Context<ServerEnv>, { llm }: ServerContext): Response {
  const { state, progress } = llm
  if (state === 'ready' && llm.isSleeping) return c.json({ status: 'sleeping' }, 503)
  if (state === 'ready') return c.json({ status: llm.isPaused ? 'paused' : 'ready' })
  if (state === 'restarting') return c.json({ status: state })
  if (state !== 'loading') return c.json({ status: state }, 503)
  const { stage, done, total } = progress ?? { stage: 'start', done: 0, total: 0 }
  return c.json({ status: state, progress: { stage, done, total } }, 503, { 'retry-after': '1' })
}

/** GET /ready: 200 when requests are taken; 503 while the model loads or its engine starts again, and during the end. */
export function getReady(c: Context<ServerEnv>, context: ServerContext): Response {
  const status = readiness(context)
  if (status === 'ready') return c.json({ status })
  return c.json({ status }, 503, { 'retry-after': '1' })
}

/** `ready` when requests are taken. */
export function readiness({ llm, isDraining }: ServerContext): LLM['state'] | 'draining' {
  return isDraining ? 'draining' : llm.state
}

/** GET /load: how busy the server is. `server_load` is vLLM's. */
export async function getLoad(c: Context<ServerEnv>, { llm, numOpen }: ServerContext): Promise<Response> {
  const stats = llm.state === 'ready' ? await within(llm.stats(), 1000) : undefined
  const { running = 0, waiting = 0 } = stats ?? {}
  // this request is not one
  return c.json({ server_load: numOpen - 1, running, waiting })
}

/** GET /metrics: in the text form of Prometheus. */
export async function getMetrics(c: Context<ServerEnv>, { metrics }: ServerContext): Promise<Response> {
  return c.body(await metrics.render(), 200, { 'content-type': metrics.contentType })
}

/** GET /config: the settings in effect, secrets masked. */
export function getConfig(c: Context<ServerEnv>, { effectiveConfig }: ServerContext): Response {
  return c.json(effectiveConfig as object)
}

/** GET /version */
export function getVersion(c: Context<ServerEnv>): Response {
  return c.json({ version })
}

/** GET /: says what this is. */
export function getRoot(c: Context<ServerEnv>, context: ServerContext, routes: readonly string[]): Response {
  const { llm } = context
  const models = llm.state === 'ready' ? servedNames(context) : []
  return c.json({ name: 'slipway', version, status: llm.state, models, routes })
}

/** Throws 503 while there is no model to ask. */
export function requireReady({ llm, isDraining }: ServerContext): void {
  if (isDraining) throw unavailable('the server is shutting down', 'shutting_down')
  if (llm.state === 'restarting')
    throw unavailable('the engine is being started again; try again in a moment', 'engine_restarting', 1)
  if (llm.state === 'loading')
    throw unavailable('the model is still loading; try again in a moment', 'model_loading', 1)
  if (llm.state === 'failed')
    throw unavailable('there is no model: it failed to load or to run; the log of the server tells why', 'model_failed')
  if (llm.state === 'closed') throw unavailable('the server is shutting down', 'shutting_down')
}
