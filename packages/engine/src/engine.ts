import type { MatcherRequest, Matchers, RemoteMatcher } from '@slipway/grammar'
import { SlipwayError, type WireError } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import type { DiskTier } from './disk-tier.ts'
import type { FinishReason } from './outputs.ts'
import type { RawLogprobs, Runner, Sampled } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import type { Chunk } from './step-plan.ts'
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
  /** With it too: milliseconds that it waited, and those from there to the token. */
  readonly queuedMs?: number
  readonly prefillMs?: number
  readonly finish?: { readonly reason: FinishReason; readonly stopReason: number | null }
  /** Why it ended with `error`, where that is known of this request alone. */
  readonly error?: WireError
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
  /** Of the objects in the engine's thread. */
  readonly heapBytes: number
}

/** Longest time that logits wait for the masks of their rows; a sequence whose mask is later misses steps. */
const maskGraceMs = 5

/** Requests in, tokens out. Single-threaded; lives in the worker. */
export class Engine {
  readonly #scheduler: Scheduler
  readonly #runner: Pick<Runner, 'run'>
  readonly #pool: BlockPool
  readonly #eosIds: readonly number[]
  readonly #tier: DiskTier | undefined
  readonly #clock: () => number
  readonly #openMatchers: (() => Matchers) | undefined
  #matchers: Matchers | undefined
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
    /** Called when the first request comes that constrains its text. */
    matchers?: () => Matchers
  }) {
    this.#clock = parts.clock ?? (() => performance.now())
    this.#tier = parts.tier
    this.#scheduler = parts.scheduler
    this.#runner = parts.runner
    this.#pool = parts.pool
    this.#eosIds = parts.eosIds
    this.#openMatchers = parts.matchers
  }

  get hasWork(): boolean {
    return this.#scheduler.running.length + this.#scheduler.waiting.length > 0
  }

  add(request: EngineRequest): void {
    const sequences = Array.from({ length: request.params.n }, (_, i) => new Sequence(request, i, this.#eosIds))
    this.#requests.set(request.requestId, sequences)
    const { structuredOutputs: constraint, stopTokenIds: stopIds } = request.params
    for (const sequence of sequences) {
      sequence.addedAt = this.#clock()
      if (constraint) sequence.matcher = this.#openMatcher({ ...constraint, stopIds })
      this.#scheduler.add(sequence)
    }
    const { timeout } = request.scheduling
    if (timeout !== undefined) this.#deadlines.set(request.requestId, this.#clock() + timeout * 1000)
  }

  #openMatcher(request: MatcherRequest): RemoteMatcher {
    this.#matchers ??= this.#openMatchers?.()
    if (!this.#matchers) throw new SlipwayError('internal', 'this engine was made without matchers')
    return this.#matchers.open(request)
  }

  #all(): Sequence[] {
    return [...this.#requests.values()].flat()
  }

  /** One step: schedule, run, post-process, collect. */
  async step(): Promise<StepOutput[]> {
    const started = this.#clock()
    const late = [...this.#deadlines].filter(([, deadline]) => deadline <= started)
    const timedOut = late.flatMap(([requestId]) => this.abort(requestId, undefined, 'timeout'))
    const ended = [...timedOut, ...this.#endConstrained()]
    const chunks = this.#scheduler.schedule()
    if (chunks.length === 0) {
      // all that is left waits for masks, or for blocks from disk
      if (this.#all().some(({ matcher }) => matcher?.isLate)) await this.#matchers?.changed(maskGraceMs)
      else await this.#tier?.fetched()
      return ended
    }
    for (const { sequence } of chunks) sequence.startedAt ??= started
    const sampled = await this.#runner.run(chunks, (sequences) => this.#awaitMasks(sequences))
    this.#scheduler.advance(withoutUnsampled(chunks, sampled), this.#clock() - started)
    this.#numSteps++
    await this.#tier?.store()
    // a sequence may have been aborted while the device was computing
    const outputs = sampled.filter(({ sequence }) => !sequence.finish).map((result) => this.#collect(result))
    return [...ended, ...outputs]
  }

  /** Waits a little for the masks of sequences whose logits are computed; those that still lack one have to be held. */
  async #awaitMasks(sequences: readonly Sequence[]): Promise<void> {
    const until = performance.now() + maskGraceMs
    while (sequences.some(isWithoutMask)) {
      const left = until - performance.now()
      if (left > 0) await this.#matchers?.changed(left)
      else for (const { matcher } of sequences.filter(isWithoutMask)) matcher!.isLate = true
      if (left <= 0) return
    }
  }

  /** Ends the sequences whose grammar has come to its end, or has failed. */
  #endConstrained(): StepOutput[] {
    if (!this.#matchers) return []
    return this.#all().flatMap((sequence): StepOutput[] => {
      const { matcher, request, index } = sequence
      // an earlier one of the same request may have ended it
      if (sequence.finish || !matcher) return []
      if (matcher.error) {
        const error = SlipwayError.toWire(matcher.error)
        return this.abort(request.requestId, undefined, 'error').map((output) => ({ ...output, error }))
      }
      if (matcher.next?.state !== 'complete') return []
      sequence.finish = { reason: 'stop', stopReason: null }
      this.#end(sequence)
      return [{ requestId: request.requestId, index, tokenIds: [], finish: sequence.finish }]
    })
  }

  #collect({ sequence, token, logprobs }: Sampled): StepOutput {
    sequence.append(token)
    if (sequence.finish) this.#end(sequence)
    else if (sequence.matcher) this.#matchers!.accept(sequence.matcher, token)
    return {
      requestId: sequence.request.requestId,
      index: sequence.index,
      tokenIds: [token],
      ...(logprobs && { logprobs: [logprobs] }),
      ...(sequence.numGenerated === 1 && this.#firstTokenFacts(sequence)),
      ...(sequence.finish && { finish: sequence.finish }),
    }
  }

  #firstTokenFacts({ numCached = 0, addedAt, startedAt = addedAt }: Sequence): Partial<StepOutput> {
    return { numCachedTokens: numCached, queuedMs: startedAt - addedAt, prefillMs: this.#clock() - startedAt }
  }

  #end(sequence: Sequence): void {
    if (sequence.matcher) this.#matchers!.close(sequence.matcher)
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
      heapBytes: process.memoryUsage().heapUsed,
    }
  }

  /** Contract 4, checked whenever nothing is left to do: every block is free or cached. */
  checkIdle(): void {
    this.#pool.check([])
    if (this.#requests.size > 0) throw new SlipwayError('internal', `${this.#requests.size} requests left without work`)
    const numMatchers = this.#matchers?.numOpen ?? 0
    if (numMatchers > 0) throw new SlipwayError('internal', `${numMatchers} matchers left without a sequence`)
  }

  /** Ends the threads that the engine has started. */
  async close(): Promise<void> {
    await this.#matchers?.end()
  }
}

function isWithoutMask({ matcher }: Sequence): boolean {
  return matcher !== undefined && !matcher.next && !matcher.error
}

/** The row of a token that could not be drawn, for want of a mask, is run again when it can. */
function withoutUnsampled(chunks: readonly Chunk[], sampled: readonly Sampled[]): Chunk[] {
  const withToken = new Set(sampled.map(({ sequence }) => sequence))
  return chunks.map(({ sequence, numTokens }) => {
    const isWithout = numTokens === sequence.numPending && !withToken.has(sequence)
    return { sequence, numTokens: isWithout ? numTokens - 1 : numTokens }
  })
}
