import { SlipwayError } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import type { DiskTier } from './disk-tier.ts'
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
  /** With a sequence's first token: how many tokens of its prompt the prefix cache had. */
  readonly numCachedTokens?: number
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
  /** Tokens of requests when they first ran, and how many of these the prefix cache had. */
  readonly numQueriedTokens: number
  readonly numCachedTokens: number
  /** Blocks that came from disk. */
  readonly numFetchedBlocks: number
  readonly numSteps: number
  readonly residentBytes: number
}

/** Requests in, tokens out. Single-threaded; lives in the worker. */
export class Engine {
  readonly #scheduler: Scheduler
  readonly #runner: Pick<Runner, 'run'>
  readonly #pool: BlockPool
  readonly #eosIds: readonly number[]
  readonly #tier: DiskTier | undefined
  readonly #clock: () => number
  readonly #requests = new Map<string, Sequence[]>()
  /** Milliseconds of the clock at which requests with a timeout end. */
  readonly #deadlines = new Map<string, number>()
  #numSteps = 0

  /** `clock` counts milliseconds. */
  constructor(parts: {
    scheduler: Scheduler
    runner: Pick<Runner, 'run'>
    pool: BlockPool
    tier?: DiskTier | undefined
    eosIds: readonly number[]
    clock?: () => number
  }) {
    this.#clock = parts.clock ?? (() => performance.now())
    this.#tier = parts.tier
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
    const { timeout } = request.scheduling
    if (timeout !== undefined) this.#deadlines.set(request.requestId, this.#clock() + timeout * 1000)
  }

  /** One step: schedule, run, post-process, collect. */
  async step(): Promise<StepOutput[]> {
    const started = this.#clock()
    const late = [...this.#deadlines].filter(([, deadline]) => deadline <= started)
    const ended = late.flatMap(([requestId]) => this.abort(requestId, undefined, 'timeout'))
    const chunks = this.#scheduler.schedule()
    if (chunks.length === 0) {
      // all that is left waits for blocks from disk
      await this.#tier?.fetched()
      return ended
    }
    const sampled = await this.#runner.run(chunks)
    this.#scheduler.advance(chunks, this.#clock() - started)
    this.#numSteps++
    await this.#tier?.store()
    // a sequence may have been aborted while the device was computing
    const outputs = sampled.filter(({ sequence }) => !sequence.finish).map((result) => this.#collect(result))
    return [...ended, ...outputs]
  }

  #collect({ sequence, token, logprobs }: Sampled): StepOutput {
    sequence.append(token)
    if (sequence.finish) this.#end(sequence)
    return {
      requestId: sequence.request.requestId,
      index: sequence.index,
      tokenIds: [token],
      ...(logprobs && { logprobs: [logprobs] }),
      ...(sequence.numGenerated === 1 && { numCachedTokens: sequence.numCached ?? 0 }),
      ...(sequence.finish && { finish: sequence.finish }),
    }
  }

  #end(sequence: Sequence): void {
    this.#scheduler.remove(sequence)
    const { requestId } = sequence.request
    const left = this.#requests.get(requestId)!.filter((other) => other !== sequence)
    if (left.length > 0) this.#requests.set(requestId, left)
    else {
      this.#requests.delete(requestId)
      this.#deadlines.delete(requestId)
    }
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

  /** Waits until all blocks that are to outlive the process are on disk. */
  async flush(): Promise<void> {
    await this.#tier?.flush()
  }

  /** Forgets all cached prefixes in memory; requests under way go on with theirs. */
  resetPrefixCache(): void {
    this.#pool.reset()
  }

  stats(): EngineStats {
    const { running, waiting, numPreemptions, numQueriedTokens, numCachedTokens } = this.#scheduler
    const { total, numFree, numCached, numOwned, blockSize } = this.#pool
    return {
      running: running.length,
      waiting: waiting.length,
      freeBlocks: numFree,
      cachedBlocks: numCached,
      ownedBlocks: numOwned,
      totalBlocks: total,
      blockSize,
      numPreemptions,
      numQueriedTokens,
      numCachedTokens,
      numFetchedBlocks: this.#tier?.numFetched ?? 0,
      numSteps: this.#numSteps,
      residentBytes: process.memoryUsage.rss(),
    }
  }

  /** Contract 4, checked whenever nothing is left to do: every block is free or cached. */
  checkIdle(): void {
    this.#pool.check([])
    if (this.#requests.size > 0) throw new SlipwayError('internal', `${this.#requests.size} requests left without work`)
  }
}
