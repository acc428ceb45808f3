import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from 'node:worker_threads'
import { SlipwayError, workerFlags } from '@slipway/tensor'
import { grammarFault } from './ast.ts'
import { MessageCounts } from './message-counts.ts'
import type { GrammarCommand, GrammarReport, GrammarSetup, GrammarWorkerData } from './protocol.ts'
import { threadTimeOf } from './thread-time.ts'

/** Never longer than this many times the limit, on whatever clock. */
const maxStretch = 2

export interface ThreadHooks {
  /** An answer to the oldest command that has none yet. */
  readonly onReport: (report: GrammarReport) => void
  /** The oldest command failed the thread, which is a fresh one now: it broke xgrammar or took too long. */
  readonly onRestart: (error: SlipwayError) => void
  /** The thread cannot start. */
  readonly onFailure: (error: SlipwayError) => void
}

/**
 * A thread that is ended and started again when a command takes longer than `limitMs`, because nothing else stops a
 * computation in Wasm. Where the system tells (Linux), it is the thread's own time that counts, so that a busy machine
 * does not refuse what an idle one accepts.
 */
export class GrammarThread {
  readonly #setup: GrammarSetup
  readonly #hooks: ThreadHooks
  readonly #limitMs: number
  #worker: Worker | undefined
  #port: MessagePort | undefined
  #isReady = false
  #counts = new MessageCounts()
  #numReports = 0
  /** Commands that await an answer. */
  #numPending = 0
  #timer: NodeJS.Timeout | undefined
  /** Milliseconds of a core that the thread has had, where the system tells. */
  #threadTime: (() => number) | undefined

  constructor(setup: GrammarSetup, limitMs: number, hooks: ThreadHooks) {
    this.#setup = setup
    this.#limitMs = limitMs
    this.#hooks = hooks
  }

  send(command: GrammarCommand): void {
    this.#worker ??= this.#start()
    this.#port!.postMessage(command)
    this.#counts.add('commands')
    if (command.type === 'close') return
    this.#numPending++
    if (this.#numPending === 1) this.#watch()
  }

  /** Takes in answers that have come, for a caller whose event loop has not turned since. */
  poll(): void {
    for (let given; this.#port && (given = receiveMessageOnPort(this.#port));) {
      const { message } = given as { readonly message: GrammarReport }
      this.#receive(message)
    }
  }

  /** Blocks until there is an answer, for `ms` at most, and takes in what has come. */
  wait(ms: number): void {
    if (this.#counts.wait('reports', this.#numReports, ms)) this.poll()
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    const worker = this.#worker
    this.#port?.removeAllListeners()
    this.#port?.close()
    this.#worker = this.#port = undefined
    // what it still fails with, out of memory as it may be, is nobody's any more, and must not end the process
    worker?.removeAllListeners().on('error', () => {})
    await worker?.terminate()
  }

  #start(): Worker {
    this.#isReady = false
    this.#counts = new MessageCounts()
    this.#numReports = 0
    const { port1, port2 } = new MessageChannel()
    const data: GrammarWorkerData = { setup: this.#setup, port: port2, counts: this.#counts.shared }
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: data,
      transferList: [port2],
      name: 'slipway-grammar',
      ...workerFlags(),
      // JavaScript's part of the work; Wasm memory is bounded where it grows
      resourceLimits: { maxOldGenerationSizeMb: 512 },
    })
    port1.on('message', (report: GrammarReport) => this.#receive(report))
    worker.on('error', (error) =>
      this.#restart(new SlipwayError('internal', `a grammar thread failed: ${String(error)}`)),
    )
    // an idle one keeps no process alive
    worker.unref()
    port1.unref()
    this.#port = port1
    return worker
  }

  /** Gives the command that is computed now its time. */
  #watch(): void {
    clearTimeout(this.#timer)
    if (!this.#isReady || this.#numPending === 0) return
    const started = this.#threadTime?.() ?? 0
    const latest = performance.now() + maxStretch * this.#limitMs
    const expire = (): void => {
      const left = this.#limitMs - ((this.#threadTime?.() ?? Infinity) - started)
      const wait = Math.min(left, latest - performance.now())
      if (wait > 1) this.#timer = setTimeout(expire, wait)
      else
        this.#restart(
          grammarFault(`the grammar takes more than ${this.#limitMs / 1000} s to prepare; make it simpler or smaller`),
        )
    }
    this.#timer = setTimeout(expire, this.#limitMs)
  }

  #receive(report: GrammarReport): void {
    this.#numReports++
    if (report.type === 'ready') {
      this.#isReady = true
      this.#threadTime = threadTimeOf(report.threadFile)
      this.#watch()
      return
    }
    if (report.type === 'failed') {
      void this.close()
      this.#numPending = 0
      this.#hooks.onFailure(SlipwayError.fromWire(report.error))
      return
    }
    if ('isBroken' in report && report.isBroken) {
      this.#restart(
        SlipwayError.fromWire(report.error ?? { kind: 'internal', message: 'xgrammar failed', details: {} }),
      )
      return
    }
    this.#numPending--
    this.#watch()
    this.#hooks.onReport(report)
  }

  #restart(error: SlipwayError): void {
    void this.close()
    this.#numPending = 0
    this.#hooks.onRestart(error)
  }
}
