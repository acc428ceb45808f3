import type { MatcherRequest, Matchers, RemoteMatcher } from '@slipway/grammar'
import { SlipwayError } from '@slipway/tensor'
import type { Adapters } from './adapters.ts'
import { BeamGroups } from './beam-groups.ts'
import type { BlockPool } from './block-pool.ts'
import type { KvTier } from './kv-tier.ts'
import type { LogitsProcessors } from './logits-processor.ts'
import type { FinishReason } from './outputs.ts'
import type { PooledValues } from './pooling/row-pool.ts'
import type { Runner, StepResult } from './runner.ts'
import type { Scheduler } from './scheduler.ts'
import { snapshotOf, type EngineSnapshot } from './snapshot.ts'
import { withoutUnsampled } from './step-plan.ts'
import { Sequence, type EngineRequest } from './sequence.ts'
import { firstTokenFacts, type EngineStats, type StepOutput } from './step-output.ts'

export type { EngineStats, StepOutput } from './step-output.ts'

/** Longest time that logits wait for the masks of their rows; a sequence whose mask is later misses steps. */
const maskGraceMs = 5
/** And before they are computed: a mask takes the less, and disturbs the less, while the cores have nothing else to do. */
const maskLeadMs = 1
/** Rows of a decoding step up to which tokens that must come join it: reading weights takes most of its time. */
const maxDecodeRows = 4

/** Requests in, tokens out. Single-threaded; lives in the worker. */
export class Engine {
  readonly #scheduler: Scheduler
  readonly #runner: Pick<Runner, 'run'>
  readonly #pool: BlockPool
  readonly #eosIds: readonly number[]
  readonly #tier: KvTier | undefined
  readonly #clock: () => number
  readonly #prepareMemory: ((reach: number) => void) | undefined
  readonly #openMatchers: (() => Matchers) | undefined
  readonly #adapters: Adapters | undefined
  #matchers: Matchers | undefined
  readonly #requests = new Map<string, Sequence[]>()
  readonly #beams: BeamGroups
  readonly #processors: LogitsProcessors | undefined
  /** Milliseconds of the clock at which requests with a timeout end. */
  readonly #deadlines = new Map<string, number>()
  /** Requests that came while none were taken up. */
  readonly #held = new Map<string, EngineRequest>()
  #isHolding = false
  #isFrozen = false
  #onDrained: (() => void)[] = []
  /** Ends when everything that must not overlap, up to now, has ended. */
  #turn: Promise<unknown> = Promise.resolve()
  /** Tokens that may join the next step without having been drawn. */
  #numRowsLeft = 0
  #numSteps = 0
  #numComputedTokens = 0
  #numGeneratedTokens = 0
  #numFirstTokens = 0
  #sumTimeToFirstToken = 0

  /** `clock` counts milliseconds. */
  constructor(parts: {
    scheduler: Scheduler
    runner: Pick<Runner, 'run'>
    pool: BlockPool
    tier?: KvTier | undefined
    eosIds: readonly number[]
    clock?: () => number
    processors?: LogitsProcessors
    /** Copies keys and values of a block; needed for beam search. */
    copyBlock?: (from: number, to: number) => Promise<void>
    /** Called after each step with the number of blocks up to which memory has been used. */
    prepareMemory?: (reach: number) => void
    /** Called when the first request comes that constrains its text. */
    matchers?: () => Matchers
    /** Where requests with a LoRA adapter wait for it; absent: none can be had. */
    adapters?: Adapters | undefined
  }) {
    this.#clock = parts.clock ?? (() => performance.now())
    this.#tier = parts.tier
    this.#scheduler = parts.scheduler
    this.#runner = parts.runner
    this.#pool = parts.pool
    this.#prepareMemory = parts.prepareMemory
    this.#eosIds = parts.eosIds
    this.#processors = parts.processors
    this.#openMatchers = parts.matchers
    this.#adapters = parts.adapters
    this.#beams = new BeamGroups(parts, {
      onMembers: (requestId, sequences) => this.#requests.set(requestId, sequences),
      onEnd: (requestId) => this.#forget(requestId),
    })
  }

  /** Whether a step would bring something on. */
  get hasWork(): boolean {
    return !this.#isFrozen && this.#requests.size > 0
  }

  /** Whether there are requests that time may end, though no step does anything for them. */
  get hasDeadlines(): boolean {
    return this.#deadlines.size > 0
  }

  add(request: EngineRequest): void {
    const { timeout } = request.scheduling
    if (timeout !== undefined) this.#deadlines.set(request.requestId, this.#clock() + timeout * 1000)
    if (this.#isHolding) this.#held.set(request.requestId, request)
    else this.#begin(request)
  }

  #begin(request: EngineRequest): void {
    const { structuredOutputs: constraint, stopTokenIds: stopIds, keepSpecialTokens, n, bestOf } = request.params
    const adapter = request.lora === undefined ? undefined : this.#adapters?.find(request.lora)
    const sequences = request.beamSearch
      ? this.#beams.begin(request, adapter)
      : Array.from({ length: bestOf ?? n }, (_, i) => new Sequence(request, i, this.#eosIds, adapter))
    this.#requests.set(request.requestId, sequences)
    // where a constraint has markers in it they may be special tokens
    const isMarked = constraint?.source.kind === 'structuralTag' || constraint?.source.kind === 'toolCalls'
    const textIds = isMarked ? keepSpecialTokens : []
    const now = this.#clock()
    for (const sequence of sequences) {
      sequence.addedAt = now
      if (!request.beamSearch) this.#openProcessors(sequence)
      if (constraint) sequence.matcher = this.#openMatcher({ ...constraint, stopIds, textIds })
      if (request.lora !== undefined && this.#adapters) this.#adapters.enter(sequence)
      else this.#scheduler.add(sequence)
    }
  }

  /** New requests wait until `release`; those under way go on. */
  hold(): void {
    this.#isHolding = true
  }

  /** No more steps until `thaw` or `release`: what runs stays as it is. */
  freeze(): void {
    this.#isFrozen = true
  }

  thaw(): void {
    this.#isFrozen = false
  }

  /** Ends `hold` and `freeze`. */
  release(): void {
    this.#isHolding = this.#isFrozen = false
    for (const request of this.#held.values()) this.#begin(request)
    this.#held.clear()
  }

  /** Resolves when no request is under way but those that are held. */
  drained(): Promise<void> {
    if (this.#requests.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#onDrained.push(resolve))
  }

  /** Runs what must not overlap with a step, or with another such task, when all that came before have ended. */
  exclusively<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(task)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** What a plugin does not accept is the fault of this request alone. */
  #openProcessors(sequence: Sequence): void {
    const { promptTokenIds, params } = sequence.request
    try {
      sequence.processors = this.#processors?.open(params.logitsProcessorsArgs, promptTokenIds) ?? []
    } catch (error) {
      sequence.fault = SlipwayError.fromWire(SlipwayError.toWire(error))
    }
  }

  #openMatcher(request: MatcherRequest): RemoteMatcher {
    this.#matchers ??= this.#openMatchers?.()
    if (!this.#matchers) throw new SlipwayError('internal', 'this engine was made without matchers')
    return this.#matchers.open(request)
  }

  #all(): Sequence[] {
    return [...this.#requests.values()].flat()
  }

  /** Ends the requests whose time is over. */
  expire(): StepOutput[] {
    if (this.#deadlines.size === 0) return []
    const now = this.#clock()
    return [...this.#deadlines].flatMap(([id, end]) => (end <= now ? this.abort(id, undefined, 'timeout') : []))
  }

  /** One step: schedule, run, post-process, collect. */
  step(): Promise<StepOutput[]> {
    return this.exclusively(() => this.#step())
  }

  async #step(): Promise<StepOutput[]> {
    // a command may have come while it waited for its turn
    if (this.#isFrozen) return []
    const started = this.#clock()
    const ended = [...this.expire(), ...this.#endOver(), ...this.#admitAdapted()]
    const chunks = this.#scheduler.schedule()
    if (chunks.length === 0) {
      // all that is left waits for masks, for an adapter, or for blocks from disk
      if (this.#all().some(({ matcher }) => matcher?.isLate)) await this.#matchers?.changed(maskGraceMs)
      else await (this.#adapters?.arrival ?? this.#tier?.fetched())
      return ended
    }
    for (const { sequence } of chunks) sequence.startedAt ??= started
    // one that is late already misses steps
    this.#matchers?.waitFor(
      chunks.map(({ sequence: { matcher } }) => (matcher?.isLate ? undefined : matcher)),
      maskLeadMs,
    )
    const sampled = await this.#runner.run(chunks, (sequences) => {
      const late = this.#matchers?.waitFor(
        sequences.map(({ matcher }) => matcher),
        maskGraceMs,
      )
      for (const matcher of late ?? []) matcher.isLate = true
    })
    this.#scheduler.advance(withoutUnsampled(chunks, sampled), this.#clock() - started)
    this.#numSteps++
    for (const { numTokens } of chunks) this.#numComputedTokens += numTokens
    this.#prepareMemory?.(this.#pool.reach)
    await this.#tier?.store()
    // a sequence may have been aborted while the device was computing
    const left = sampled.filter(({ sequence }) => !sequence.finish)
    this.#numRowsLeft = maxDecodeRows - this.#scheduler.running.length
    const outputs = left.flatMap((result) => this.#collect(result))
    return [...ended, ...outputs, ...(await this.#beams.advance())]
  }

  #forget(requestId: string): void {
    this.#requests.delete(requestId)
    this.#deadlines.delete(requestId)
    if (this.#requests.size === 0) for (const resolve of this.#onDrained.splice(0)) resolve()
  }

  /** Ends the requests that cannot go on, and the sequences whose grammar has come to its end. */
  #endOver(): StepOutput[] {
    const outputs: StepOutput[] = []
    for (const sequences of this.#requests.values())
      for (const sequence of sequences) {
        const { fault, matcher, request, index } = sequence
        const error = fault ?? matcher?.error
        // an earlier sequence of the same request may have ended it
        if (sequence.finish) continue
        if (error) outputs.push(...this.#fail(request.requestId, error))
        else if (matcher?.next?.state === 'complete') {
          sequence.finish = { reason: 'stop', stopReason: null }
          this.#end(sequence)
          outputs.push({ requestId: request.requestId, index, tokenIds: [], finish: sequence.finish })
        }
      }
    return outputs
  }

  #fail(requestId: string, error: unknown, index?: number): StepOutput[] {
    const wire = SlipwayError.toWire(error)
    return this.abort(requestId, index, 'error').map((output) => ({ ...output, error: wire }))
  }

  /** Schedules sequences whose adapter is there; ends those whose adapter cannot be had. */
  #admitAdapted(): StepOutput[] {
    if (!this.#adapters) return []
    const { ready, failed } = this.#adapters.admit()
    for (const sequence of ready) this.#scheduler.add(sequence)
    return failed.flatMap(({ sequence: { request, index }, error }) => this.#fail(request.requestId, error, index))
  }

  #collect(result: StepResult): StepOutput[] {
    if ('pooled' in result) return [this.#collectPooled(result)]
    const { sequence, token, logprobs } = result
    if (this.#beams.take(sequence, logprobs)) return []
    const isFirst = sequence.numGenerated === 0
    sequence.append(token, logprobs?.logprob)
    const facts = isFirst && firstTokenFacts(sequence, this.#clock())
    if (isFirst) {
      this.#numFirstTokens++
      this.#sumTimeToFirstToken += this.#clock() - sequence.addedAt
    }
    const tokenIds = [token]
    this.#follow(sequence, token)
    for (let forced; this.#numRowsLeft > 0 && (forced = sequence.forcedToken) !== undefined;) {
      sequence.appendForced(forced)
      tokenIds.push(forced)
      this.#numRowsLeft--
      this.#follow(sequence, forced)
    }
    this.#numGeneratedTokens += tokenIds.length
    const { requestId } = sequence.request
    const told = { ...(logprobs && { logprobs: [logprobs] }), ...facts }
    return [
      { requestId, index: sequence.index, tokenIds, ...told, ...(sequence.finish && { finish: sequence.finish }) },
    ]
  }

  /** Tells those whom it concerns that a sequence has got a token. */
  #follow(sequence: Sequence, token: number): void {
    if (sequence.finish) this.#end(sequence)
    else if (sequence.matcher) this.#matchers!.accept(sequence.matcher, token)
  }

  #collectPooled({ sequence, pooled }: Extract<StepResult, { pooled: PooledValues }>): StepOutput {
    const { request, index, numCached = 0 } = sequence
    sequence.finish = { reason: 'stop', stopReason: null }
    this.#end(sequence)
    const { requestId } = request
    return { requestId, index, tokenIds: [], pooled, numCachedTokens: numCached, finish: sequence.finish }
  }

  #end(sequence: Sequence): void {
    if (sequence.matcher) this.#matchers!.close(sequence.matcher)
    if (!this.#adapters?.isWaiting(sequence)) this.#scheduler.remove(sequence)
    if (sequence.request.lora !== undefined) this.#adapters?.leave(sequence)
    const { requestId } = sequence.request
    const left = this.#requests.get(requestId)!.filter((other) => other !== sequence)
    if (left.length > 0) this.#requests.set(requestId, left)
    else this.#forget(requestId)
  }

  /** Ends a request's sequences, or the one with `index`, wherever they are; none of them costs another step. */
  abort(requestId: string, index?: number, reason: FinishReason = 'abort'): StepOutput[] {
    const held = this.#held.get(requestId)
    // it begins, and ends like any other
    if (held) this.#begin(held)
    this.#held.delete(requestId)
    const beams = this.#beams.abort(requestId, reason)
    if (beams) return beams
    const sequences = (this.#requests.get(requestId) ?? []).filter((s) => index === undefined || s.index === index)
    return sequences.map((sequence) => {
      sequence.finish = { reason, stopReason: null }
      this.#end(sequence)
      return { requestId, index: sequence.index, tokenIds: [], finish: sequence.finish }
    })
  }

  /** Ends everything that is under way, as after a step that failed. */
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
    this.#tier?.clear()
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
      numParkedBlocks: this.#tier?.numParked ?? 0,
      numSteps: this.#numSteps,
      numComputedTokens: this.#numComputedTokens,
      numGeneratedTokens: this.#numGeneratedTokens,
      numFirstTokens: this.#numFirstTokens,
      sumTimeToFirstToken: this.#sumTimeToFirstToken,
      residentBytes: process.memoryUsage.rss(),
      heapBytes: process.memoryUsage().heapUsed,
    }
  }

  /** What goes on at this moment, for somebody who looks on. */
  snapshot(): EngineSnapshot {
    const { running, waiting } = this.#scheduler
    return snapshotOf({ time: this.#clock(), stats: this.stats(), pool: this.#pool, running, waiting })
  }

  /** Contract 4, whenever nothing is left to do: every block is free or cached. Counting them takes constant time. */
  checkIdle(by: 'count' | 'block' = 'block'): void {
    if (this.#isFrozen) return
    if (by === 'block') this.#pool.check([])
    const left = { blocks: this.#pool.numOwned, requests: this.#requests.size, matchers: this.#matchers?.numOpen ?? 0 }
    for (const [what, count] of Object.entries(left))
      if (count !== 0) throw new SlipwayError('internal', `${count} ${what} left without work`)
  }

  /** Ends the threads that the engine has started. */
  async close(): Promise<void> {
    await this.#matchers?.end()
  }
}
