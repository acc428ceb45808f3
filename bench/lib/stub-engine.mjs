// @ts-check
// Loaded before a server (`node --import`): in the engine's thread, in place of computing, every running request gets a token
// per step. Messages between the threads and all that is in front of the engine stay what they are.
import { isMainThread } from 'node:worker_threads'
import { Engine } from '../../packages/engine/dist/engine.js'

/** @typedef {import('../../packages/engine/dist/sequence.js').EngineRequest} EngineRequest */
/** @typedef {import('../../packages/engine/dist/step-output.js').StepOutput} StepOutput */

/** Milliseconds of a step; 0: as fast as it goes. */
const stepTime = Number(process.env['STUB_STEP_MS'] ?? 0)

if (!isMainThread) {
  /** @type {Map<string, { request: EngineRequest, numGenerated: number, addedAt: number }>} */
  const open = new Map()
  /** @type {(request: EngineRequest) => void} */
  const add = (request) => void open.set(request.requestId, { request, numGenerated: 0, addedAt: performance.now() })
  /** @returns {StepOutput[]} */
  const next = () =>
    [...open].map(([requestId, entry]) => {
      const { promptTokenIds, params } = entry.request
      entry.numGenerated++
      const isLast = entry.numGenerated >= (params.maxTokens ?? 1)
      if (isLast) open.delete(requestId)
      const waited = performance.now() - entry.addedAt
      return {
        requestId,
        index: 0,
        // the prompt over and over again is text as good as any
        tokenIds: [promptTokenIds[entry.numGenerated % promptTokenIds.length]],
        ...(entry.numGenerated === 1 && { numCachedTokens: 0, queuedMs: 0, prefillMs: waited }),
        ...(isLast && { finish: { reason: 'length', stopReason: null } }),
      }
    })
  /** @type {(requestId: string) => StepOutput[]} */
  const abort = (requestId) =>
    open.delete(requestId) ? [{ requestId, index: 0, tokenIds: [], finish: { reason: 'abort', stopReason: null } }] : []
  let due = performance.now()
  const step = async () => {
    due = Math.max(performance.now(), due + stepTime)
    const wait = due - performance.now()
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
    return next()
  }
  Object.defineProperty(Engine.prototype, 'hasWork', { get: () => open.size > 0 })
  Object.assign(Engine.prototype, { add, step, abort })
}
