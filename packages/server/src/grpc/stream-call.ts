import { once } from 'node:events'
import { status, type ServerDuplexStream } from '@grpc/grpc-js'
import type { ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import { requestIdOf } from '../http/request-id.ts'
import { Inference } from './infer.ts'
import type { ModelInferRequest, ModelInferResponse, ModelStreamInferResponse } from './messages.ts'
import { headersOf, inScope, Refused, type Caller } from './scope.ts'
import { codeOf, serviceError } from './status.ts'

export type InferStream = ServerDuplexStream<ModelInferRequest, ModelStreamInferResponse>

/** Requests of one call that are answered at once; further ones wait unread. */
const maxAtOnce = 256

/**
 * One call of ModelStreamInfer: requests are answered side by side, each by responses with its id. A request that is refused
 * gets a response with `error_message`, and the call goes on; only who may not call at all is told by its status.
 */
export class StreamCall {
  readonly #context: ServerContext
  readonly #call: InferStream
  readonly #route: string
  readonly #leaving = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #headers: Headers
  readonly #requestId: string

  constructor(context: ServerContext, call: InferStream, route: string) {
    this.#context = context
    this.#call = call
    this.#route = route
    this.#headers = headersOf(call.metadata)
    this.#requestId = requestIdOf(this.#headers)
    // all that is under way waits for the same events
    call.setMaxListeners(0)
    call.once('cancelled', () => this.#leaving.abort())
  }

  async run(): Promise<void> {
    const call = this.#call
    try {
      this.#context.access.identify(this.#headers)
    } catch (error) {
      await inScope(this.#context, 'open', this.#caller(0), () => Promise.reject(error as Error)).catch(
        ({ answer }: Refused) => call.emit('error', serviceError(answer, this.#requestId)),
      )
      return
    }
    let numRequests = 0
    try {
      for await (const request of call.iterator({ destroyOnReturn: false }) as AsyncIterable<ModelInferRequest>) {
        const task = this.#answer(request, this.#caller(numRequests++))
        this.#running.add(task)
        void task.finally(() => this.#running.delete(task))
        if (this.#running.size >= maxAtOnce) await Promise.race(this.#running)
      }
    } catch {
      // the client has gone in the midst of it
      this.#leaving.abort()
    }
    await Promise.all(this.#running)
    if (!call.cancelled) call.end()
  }

  /** Ends the call as soon as what is under way has ended; nothing more is read. */
  close(): void {
    this.#call.push(null)
  }

  #caller(number: number): Caller {
    const requestId = number === 0 ? this.#requestId : `${this.#requestId}-${number}`
    return { route: this.#route, requestId, headers: this.#headers, signal: this.#leaving.signal }
  }

  async #answer(request: ModelInferRequest, caller: Caller): Promise<void> {
    try {
      await inScope(this.#context, 'counted', caller, async (scope) => {
        const inference = new Inference(this.#context, request, caller, scope)
        for await (const response of inference.stream())
          await this.#send({ error_message: '', infer_response: response })
      })
    } catch (error) {
      if (!this.#call.cancelled) await this.#send(refusalOf(request, error as Refused)).catch(() => {})
    }
  }

  /** Waits until the client takes what was written; one that takes nothing for too long is left alone. */
  async #send(response: ModelStreamInferResponse): Promise<void> {
    if (this.#leaving.signal.aborted || this.#call.write(response)) return
    const slow = AbortSignal.timeout(this.#context.options.slowReaderSeconds * 1000)
    try {
      await once(this.#call, 'drain', { signal: AbortSignal.any([slow, this.#leaving.signal]) })
    } catch {
      // who has gone is told nothing; the engine sees the signal
      if (!slow.aborted) return
      this.#leaving.abort()
      const answer = refusal('the client takes nothing of its answers', {
        status: 408,
        code: 'slow_reader',
      })
      this.#call.emit('error', { code: status.DEADLINE_EXCEEDED, details: answer.message })
      throw answer
    }
  }
}

function refusalOf(request: ModelInferRequest, { answer }: Refused): ModelStreamInferResponse {
  const parameters: ModelInferResponse['parameters'] = {
    error_code: { string_param: status[codeOf(answer)] },
    triton_final_response: { bool_param: true },
  }
  const { model_name, model_version, id } = request
  return { error_message: answer.body.error.message, infer_response: { model_name, model_version, id, parameters } }
}
