import { Worker } from 'node:worker_threads'
import { SlipwayError, workerFlags } from '@slipway/tensor'
import type { ControlMethod, ControlPlane } from './control-plane.ts'
import type { StepOutput } from './engine.ts'
import type { Command, ControlReport, LoadProgress, ModelInfo, Report, WorkerSetup } from './protocol.ts'
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
  readonly #sinks = new Map<string, RequestSink & { readonly user: string }>()
  /** Requests under way by user. */
  readonly #numByUser = new Map<string, number>()
  readonly #calls = new Map<number, (answer: ControlReport) => void>()
  /** Resolves when the thread is gone, and every request has been told. */
  readonly exited: Promise<void>
  #failure: SlipwayError | undefined
  #isLoaded = false
  #isClosing = false
  #hasWorked = false
  #numCalls = 0
  #lastEnd = 0
  #millisecondsPerRequest = 0

  constructor(setup: WorkerSetup, onProgress: (progress: LoadProgress) => void) {
    const named = { workerData: setup, name: 'slipway-engine' }
    this.#worker = new Worker(new URL('./worker.js', import.meta.url), { ...named, ...workerFlags() })
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
    const { user } = request.scheduling
    this.#sinks.set(request.requestId, {
      user,
      onStep: (output) => sink.onStep(output),
      onError: (error) => sink.onError(error),
    })
    this.#numByUser.set(user, this.numRequestsOf(user) + 1)
    this.#send({ type: 'submit', request })
  }

  /** Ends a request, or one of its completions; the engine confirms with a finish. */
  abort(requestId: string, index?: number): void {
    if (this.#sinks.has(requestId)) this.#send({ type: 'abort', requestId, ...(index !== undefined && { index }) })
  }

  /** The front has seen the last of this request. */
  forget(requestId: string): void {
    const sink = this.#sinks.get(requestId)
    if (!sink) return
    this.#sinks.delete(requestId)
    const left = this.numRequestsOf(sink.user) - 1
    if (left > 0) this.#numByUser.set(sink.user, left)
    else this.#numByUser.delete(sink.user)
    const now = performance.now()
    this.#millisecondsPerRequest += 0.1 * (now - this.#lastEnd - this.#millisecondsPerRequest)
    this.#lastEnd = now
  }

  /** Whole seconds in which, at the pace of late, one request ends: 1 to 60. */
  get secondsPerRequest(): number {
    return Math.min(60, Math.max(1, Math.ceil(this.#millisecondsPerRequest / 1000)))
  }

  /** Requests under way on behalf of one user. */
  numRequestsOf(user: string): number {
    return this.#numByUser.get(user) ?? 0
  }

  /** Requests under way, by id. */
  get requestIds(): string[] {
    return [...this.#sinks.keys()]
  }

  /** Calls a method of the control plane. */
  async call<M extends ControlMethod>(
    method: M,
    ...args: Parameters<ControlPlane[M]>
  ): Promise<Awaited<ReturnType<ControlPlane[M]>>> {
    await this.ready
    if (this.#failure) throw this.#failure
    const id = this.#numCalls++
    const answer = await new Promise<ControlReport>((resolve) => {
      this.#calls.set(id, resolve)
      this.#send({ type: 'control', id, method, args })
    })
    if (answer.error) throw SlipwayError.fromWire(answer.error)
    return answer.result as Awaited<ReturnType<ControlPlane[M]>>
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

  #receive(report: Extract<Report, { type: 'step' | 'control' }>): void {
    if (report.type === 'control') {
      this.#calls.get(report.id)?.(report)
      this.#calls.delete(report.id)
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
    this.#numByUser.clear()
    for (const sink of sinks) sink.onError(this.#isClosing ? this.#failure : lost(this.#failure))
    const wire = this.#failure.toWire()
    for (const [id, resolve] of this.#calls) resolve({ type: 'control', id, error: wire })
    this.#calls.clear()
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
