import { SlipwayError } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import type { FinishReason } from './outputs.ts'
import type { RawLogprobs, Runner, Sampled } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import { Sequence, type EngineRequest } from './sequence.ts'

/** What one step brought for one sequence. */
export interface StepOutput {
  readonly requestId: string
  readonly index: number
  /** The new token; none when the sequence ended without one. */
  readonly tokenIds: readonly number[]
  readonly logprobs?: readonly RawLogprobs[]
  readonly finish?: { readonly reason: FinishReason; readonly stopReason: number | null }
}

export interface EngineStats {
  readonly running: number
  readonly waiting: number
  readonly freeBlocks: number
  readonly cachedBlocks: number
  readonly ownedBlocks: number
  readonly totalBlocks: number
  readonly blockSize: number
  readonly numPreemptions: number
  readonly numSteps: number
  readonly residentBytes: number
}

/** Requests in, tokens out. Single-threaded; lives in the worker. */
export class Engine {
  readonly #scheduler: Scheduler
  readonly #runner: Runner
  readonly #pool: BlockPool
  readonly #eosIds: readonly number[]
  readonly #requests = new Map<string, Sequence[]>()
  #numSteps = 0

  constructor(parts: { scheduler: Scheduler; runner: Runner; pool: BlockPool; eosIds: readonly number[] }) {
    this.#scheduler = parts.scheduler
    this.#runner = parts.runner
    this.#pool = parts.pool
    this.#eosIds = parts.eosIds
  }

  get hasWork(): boolean {
    return this.#scheduler.running.length + this.#scheduler.waiting.length > 0
  }

  add(request: EngineRequest): void {
    const sequences = Array.from({ length: request.params.n }, (_, i) => new Sequence(request, i, this.#eosIds))
    this.#requests.set(request.requestId, sequences)
    for (const sequence of sequences) this.#scheduler.add(sequence)
  }

  /** One step: schedule, run, post-process, collect. */
  async step(): Promise<StepOutput[]> {
    const chunks = this.#scheduler.schedule()
    const sampled = await this.#runner.run(chunks)
    for (const { sequence, numTokens } of chunks) sequence.numComputed += numTokens
    this.#numSteps++
    // a sequence may have been aborted while the device was computing
    return sampled.filter(({ sequence }) => !sequence.finish).map((result) => this.#collect(result))
  }

  #collect({ sequence, token, logprobs }: Sampled): StepOutput {
    sequence.append(token)
    if (sequence.finish) this.#end(sequence)
    return {
      requestId: sequence.request.requestId,
      index: sequence.index,
      tokenIds: [token],
      ...(logprobs && { logprobs: [logprobs] }),
      ...(sequence.finish && { finish: sequence.finish }),
    }
  }

  #end(sequence: Sequence): void {
    this.#scheduler.remove(sequence)
    const { requestId } = sequence.request
    const left = this.#requests.get(requestId)!.filter((other) => other !== sequence)
    if (left.length > 0) this.#requests.set(requestId, left)
    else this.#requests.delete(requestId)
  }

  /** Ends a request's sequences, or the one with `index`, wherever they are; none of them costs another step. */
  abort(requestId: string, index?: number, reason: FinishReason = 'abort'): StepOutput[] {
    const sequences = (this.#requests.get(requestId) ?? []).filter((s) => index === undefined || s.index === index)
    return sequences.map((sequence) => {
      sequence.finish = { reason, stopReason: null }
      this.#end(sequence)
      return { requestId, index: sequence.index, tokenIds: [], finish: sequence.finish }
    })
  }

  /** Ends everything, after a step that failed. */
  abortAll(reason: FinishReason): StepOutput[] {
    return [...this.#requests.keys()].flatMap((id) => this.abort(id, undefined, reason))
  }

  stats(): EngineStats {
    const { running, waiting } = this.#scheduler
    const { total, numFree, blockSize } = this.#pool
    return {
      running: running.length,
      waiting: waiting.length,
      freeBlocks: numFree,
      cachedBlocks: 0,
      ownedBlocks: running.reduce((sum, sequence) => sum + sequence.blocks.length, 0),
      totalBlocks: total,
      blockSize,
      numPreemptions: this.#scheduler.numPreemptions,
      numSteps: this.#numSteps,
      residentBytes: process.memoryUsage.rss(),
    }
  }

  /** Contract 4, checked whenever nothing is left to do: every block is back. */
  checkIdle(): void {
    this.#pool.check([])
    if (this.#requests.size > 0) throw new SlipwayError('internal', `${this.#requests.size} requests left without work`)
  }
}
