import { SlipwayError } from '@slipway/tensor'
import type { EngineClient } from '../client.ts'
import type { StepOutput } from '../engine.ts'
import type { RequestRecord } from '../batch.ts'
import { newTiming } from '../generation-stream.ts'
import { onAbort } from '../on-abort.ts'
import type { FinishReason, Usage } from '../outputs.ts'
import type { EngineRequest } from '../sequence.ts'
import type { PooledValues } from './row-pool.ts'

/** What a text came to. */
export interface PoolingOutput extends PooledValues {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  readonly usage: Usage
}

interface Settle {
  readonly resolve: (output: PoolingOutput) => void
  readonly reject: (reason: unknown) => void
}

/** One text on its way through the engine. */
export class PoolingTask implements RequestRecord {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  /** Without tokens: nothing is generated. */
  readonly timing = newTiming()
  readonly #client: EngineClient
  readonly #result: Promise<PoolingOutput>
  #settle: Settle | undefined
  #onEnd: () => void = () => {}
  #cachedTokens = 0
  #finishReason: FinishReason | undefined

  constructor(client: EngineClient, request: EngineRequest, signal?: AbortSignal) {
    this.requestId = request.requestId
    this.promptTokenIds = request.promptTokenIds
    this.#client = client
    this.#result = new Promise((resolve, reject) => (this.#settle = { resolve, reject }))
    // whoever awaits the result sees the rejection; nobody else must be ended by it
    this.#result.catch(() => {})
    if (signal?.aborted) {
      this.abort()
      return
    }
    this.#onEnd = onAbort(signal, () => this.abort())
    client.submit(request, {
      onStep: (output) => this.#onStep(output),
      onError: (error) => this.#end('error', (settle) => settle.reject(error)),
    })
  }

  #onStep({ pooled, finish, numCachedTokens = 0 }: StepOutput): void {
    const reason = finish?.reason ?? 'error'
    this.#cachedTokens = numCachedTokens
    const { requestId, promptTokenIds, usage } = this
    this.#end(reason, ({ resolve, reject }) => {
      if (pooled) resolve({ requestId, promptTokenIds, ...pooled, usage })
      else reject(failureOf(reason))
    })
  }

  get usage(): Usage {
    return { promptTokens: this.promptTokenIds.length, completionTokens: 0, cachedTokens: this.#cachedTokens }
  }

  /** How it has ended, once it has. */
  get finishReasons(): FinishReason[] {
    return this.#finishReason === undefined ? [] : [this.#finishReason]
  }

  /** Settles the result, the first time. */
  #end(reason: FinishReason, settle: (how: Settle) => void): void {
    if (!this.#settle) return
    this.timing.endedAt = performance.now()
    this.#finishReason = reason
    settle(this.#settle)
    this.#settle = undefined
    this.#client.forget(this.requestId)
    this.#onEnd()
  }

  /** Ends the request, if it has not ended; its result rejects. Safe to call at any time, any number of times. */
  abort(): void {
    if (!this.#settle) return
    this.#client.abort(this.requestId)
    this.#end('abort', ({ reject }) => reject(failureOf('abort')))
  }

  /** Rejects with `request` when the request was aborted or took longer than its timeout. */
  result(): Promise<PoolingOutput> {
    return this.#result
  }
}

function failureOf(reason: string): SlipwayError {
  if (reason === 'timeout')
    return new SlipwayError('request', 'the request took longer than its timeout; raise it', {
      param: 'timeout',
      status: 408,
      code: 'timeout',
    })
  if (reason === 'abort') return new SlipwayError('request', 'the request was aborted', { code: 'aborted' })
  return new SlipwayError('internal', 'the engine failed during a request')
}
