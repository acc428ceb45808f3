import { Worker } from 'node:worker_threads'
import { SlipwayError } from '@slipway/tensor'
import type { EngineStats, StepOutput } from './engine.ts'
import type { Command, LoadProgress, ModelInfo, Report, WorkerSetup } from './protocol.ts'
import type { EngineRequest } from './sequence.ts'

/** Takes what the engine reports for one request; `error` once, when the engine can bring no more. */
export interface RequestSink {
  onStep(output: StepOutput): void
  onError(error: SlipwayError): void
}

/** The engine as the front sees it: a worker thread behind messages. */
export class EngineClient {
  readonly ready: Promise<ModelInfo>
  readonly #worker: Worker
  readonly #sinks = new Map<string, RequestSink>()
  readonly #stats = new Map<number, (stats: EngineStats | SlipwayError) => void>()
  /** Resolves when the thread is gone, and every request has been told. */
  readonly exited: Promise<void>
  #failure: SlipwayError | undefined
  #isLoaded = false
  #isClosing = false
  #hasWorked = false
  #numStats = 0
  #lastEnd = 0
  #millisecondsPerRequest = 0

  constructor(setup: WorkerSetup, onProgress: (progress: LoadProgress) => void) {
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: setup, name: 'slipway-engine' })
    this.ready = new Promise((resolve, reject) => {
      const fail = (error: SlipwayError): void => {
        reject(error)
        this.#fail(error)
      }
      this.#worker.on('message', (report: Report) => {
        if (report.type === 'ready') {
          this.#isLoaded = true
          resolve(report.info)
        } else if (report.type === 'progress') onProgress(report.progress)
        else if (report.type === 'failed') {
          fail(SlipwayError.fromWire(report.error))
          // a thread that has lost its bearings is of no more use
          if (this.#isLoaded) void this.#worker.terminate()
        } else this.#receive(report)
      })
      this.#worker.on('error', (error) => fail(new SlipwayError('internal', `the engine stopped: ${String(error)}`)))
      this.#worker.on('exit', () => fail(new SlipwayError('internal', 'the engine is closed')))
    })
    // after the listener that tells the requests
    this.exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()))
    // whoever needs it awaits `ready`; nobody else must be killed by its rejection
    this.ready.catch(() => {})
  }

  /** Why the engine can bring no more, once it cannot. */
  get failure(): SlipwayError | undefined {
    return this.#failure
  }

  /** Whether it has brought anything for a request. */
  get hasWorked(): boolean {
    return this.#hasWorked
  }

  /** Requests under way. */
  get numRequests(): number {
    return this.#sinks.size
  }

  submit(request: EngineRequest, sink: RequestSink): void {
    if (this.#failure) throw this.#failure
    // a pause with nothing to do says nothing of the pace
    if (this.#sinks.size === 0) this.#lastEnd = performance.now()
    this.#sinks.set(request.requestId, sink)
    this.#send({ type: 'submit', request })
  }

  /** Ends a request, or one of its completions; the engine confirms with a finish. */
  abort(requestId: string, index?: number): void {
    if (this.#sinks.has(requestId)) this.#send({ type: 'abort', requestId, ...(index !== undefined && { index }) })
  }

  /** The front has seen the last of this request. */
  forget(requestId: string): void {
    if (!this.#sinks.delete(requestId)) return
    const now = performance.now()
    this.#millisecondsPerRequest += 0.1 * (now - this.#lastEnd - this.#millisecondsPerRequest)
    this.#lastEnd = now
  }

  /** Whole seconds in which, at the pace of late, one request ends: 1 to 60. */
  get secondsPerRequest(): number {
    return Math.min(60, Math.max(1, Math.ceil(this.#millisecondsPerRequest / 1000)))
  }

  /** Takes effect between two steps. */
  resetPrefixCache(): void {
    if (this.#failure) throw this.#failure
    this.#send({ type: 'resetPrefixCache' })
  }

  async stats(): Promise<EngineStats> {
    await this.ready
    if (this.#failure) throw this.#failure
    const id = this.#numStats++
    const answer = await new Promise<EngineStats | SlipwayError>((resolve) => {
      this.#stats.set(id, resolve)
      this.#send({ type: 'stats', id })
    })
    if (SlipwayError.is(answer)) throw answer
    return answer
  }

  /** Stops the worker and waits until it is gone. A load under way is cut off. */
  async close(): Promise<void> {
    this.#isClosing = true
    if (this.#isLoaded) this.#send({ type: 'close' })
    else await this.#worker.terminate()
    await this.exited
  }

  /** Ends the thread where it stands, as a crash would. */
  async kill(): Promise<void> {
    await this.#worker.terminate()
    await this.exited
  }

  #send(command: Command): void {
    this.#worker.postMessage(command)
  }

  #receive(report: Extract<Report, { type: 'step' | 'stats' }>): void {
    if (report.type === 'stats') {
      this.#stats.get(report.id)?.(report.stats)
      this.#stats.delete(report.id)
      return
    }
    this.#hasWorked = true
    const error = report.error && SlipwayError.fromWire(report.error)
    for (const output of report.outputs) {
      const sink = this.#sinks.get(output.requestId)
      if (error) sink?.onError(error)
      else if (output.error) sink?.onError(SlipwayError.fromWire(output.error))
      else sink?.onStep(output)
    }
  }

  #fail(error: SlipwayError): void {
    this.#failure ??= error
    const sinks = [...this.#sinks.values()]
    this.#sinks.clear()
    for (const sink of sinks) sink.onError(this.#isClosing ? this.#failure : lost(this.#failure))
    for (const resolve of this.#stats.values()) resolve(this.#failure)
    this.#stats.clear()
  }
}

/** What a request is told whose engine has died: nothing is wrong with it, and it may be sent again. */
function lost({ kind, message }: SlipwayError): SlipwayError {
  if (kind !== 'internal') return new SlipwayError(kind, message)
  return new SlipwayError('internal', `the engine stopped during the request: ${message}`, {
    status: 503,
    code: 'engine_restarting',
    retryAfter: 1,
  })
}
