import type { RemoteMatcher } from '@slipway/grammar'
import type { SlipwayError } from '@slipway/tensor'
import type { Adapter } from './adapters.ts'
import type { ResolvedBeamSearch } from './beam-search-params.ts'
import type { BlockOwner } from './block-pool.ts'
import type { NamedProcessor } from './logits-processor.ts'
import type { FinishReason } from './outputs.ts'
import type { RawLogprobs } from './runner.ts'
import type { PoolingRequest } from './pooling/pooling-params.ts'
import type { ResolvedParams } from './sampling-params.ts'
import type { ResolvedScheduling } from './scheduling-options.ts'
import { ThinkingTracker } from './thinking.ts'

/** What a request tells the engine: tokens in, decided parameters. Survives `postMessage`. */
export interface EngineRequest {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  /** `seed` is decided and `maxTokens` is bounded by the model's length. */
  readonly params: ResolvedParams & { readonly seed: number; readonly maxTokens: number }
  readonly scheduling: ResolvedScheduling
  /** Name of the LoRA adapter that computes it; absent: the model alone. */
  readonly lora?: string
  /** Search the `n` best answers with this, instead of sampling. */
  readonly beamSearch?: ResolvedBeamSearch
  /** Of a text that is not to be continued: what its states come to. Nothing is sampled then, whatever `params` say. */
  readonly pooling?: PoolingRequest
}

/** How often a token occurs, for penalties. */
export interface TokenUse {
  /** Times generated. */
  count: number
  readonly inPrompt: boolean
}

/** The stop reason of an answer that repeats itself. */
export const repetitionStop = 'repetition'

/** Rows of a prompt whose logits are wanted in one step: each takes the memory of a vocabulary. */
const maxPromptRows = 64

/** One completion being generated: its tokens, its blocks and how far its keys and values are computed. */
export class Sequence implements BlockOwner {
  readonly request: EngineRequest
  readonly index: number
  /** Tokens of -1 for those of a prefix, then the prompt, then generated tokens. */
  readonly tokens: number[]
  readonly blocks: number[] = []
  readonly stopIds: ReadonlySet<number>
  /** The 64-bit key of its random draws. */
  readonly seedWords: readonly [number, number]
  readonly blockKeys: string[] = []
  /** Tokens whose keys and values lie in `blocks`; back to 0 after preemption. */
  numComputed = 0
  numCommitted = 0
  /** Tokens that the cache had when the sequence first ran. */
  numCached: number | undefined
  /** When the engine got it, and when it first was part of a step: milliseconds of the engine's clock. */
  addedAt = 0
  startedAt: number | undefined
  /** Place in the order of arrival. */
  arrival = 0
  /** How often a sequence that came later got blocks that this one waits for. */
  numOvertaken = 0
  finish: { reason: FinishReason; stopReason: string | number | null } | undefined
  /** Plugins that its logits go through. */
  processors: readonly NamedProcessor[] = []
  /** Tokens behind the last one that was drawn: they could be no others, and are run along with it. */
  numForced = 0
  /** Tokens of late of which the model was sure. */
  #numSure = 0
  /** Says which tokens may come next, where the request constrains its text. */
  matcher: RemoteMatcher | undefined
  /** What the model is changed by for this sequence. */
  readonly adapter: Adapter | undefined
  readonly #thinking: ThinkingTracker | undefined
  readonly #endsText: (token: number) => boolean
  /** Of the prompt's tokens from the second on, as far as they are computed, where they are asked for. */
  readonly promptLogprobs: RawLogprobs[] = []
  /** Why nothing more can be generated. */
  fault: SlipwayError | undefined
  #allowed: Uint32Array | undefined
  /** Tokens of its prefix, whose keys and values are given. */
  readonly numGiven: number
  /** From which of those on they are yet to be written into its blocks. */
  givenFrom: number | undefined
  #uses: Map<number, TokenUse> | undefined

  /** `index` tells apart the completions of one request; `eosIds` end a sequence unless the request ignores them. */
  constructor(request: EngineRequest, index: number, eosIds: readonly number[], adapter?: Adapter) {
    this.adapter = adapter
    this.request = request
    this.index = index
    this.numGiven = adapter?.numVirtualTokens ?? 0
    this.tokens = [...Array<number>(this.numGiven).fill(-1), ...request.promptTokenIds]
    const { seed, ignoreEos, stopTokenIds, thinking } = request.params
    this.seedWords = seedWordsOf(seed, index)
    this.#thinking = thinking && new ThinkingTracker(thinking)
    this.#endsText = (token) => eosIds.includes(token) && !ignoreEos && !stopTokenIds.includes(token)
    this.stopIds = new Set([...(ignoreEos ? [] : eosIds), ...stopTokenIds])
  }

  /** Who shares with others: requests of one user take turns with those of the next. */
  get user(): string {
    return this.request.scheduling.user
  }

  /** Lower goes first. */
  get priority(): number {
    return this.request.scheduling.priority
  }

  /** Adapters compute other keys and values of the same tokens. */
  get adapterKey(): string | undefined {
    return this.adapter?.digest
  }

  get cacheSalt(): string {
    return this.request.scheduling.cacheSalt
  }

  /** By how much the position that a token is rotated by is below its place among keys and values. */
  get positionShift(): number {
    const { prefix } = this.adapter ?? {}
    return prefix ? prefix.numTokens - prefix.firstPosition : 0
  }

  /** Whether states or logits of tokens are wanted that a prefix cache would leave out. */
  get needsEveryRow(): boolean {
    const { pooling } = this.request
    return this.needsPromptRows || (pooling !== undefined && pooling.type !== 'last')
  }

  get numGenerated(): number {
    return this.tokens.length - this.request.promptTokenIds.length - this.numGiven
  }

  /** Tokens still to be run through the model before the next one can be sampled. */
  get numPending(): number {
    return this.tokens.length - this.numComputed
  }

  /** How many best tokens to list with log-probabilities of each generated token; undefined: no log-probabilities. */
  get numLogprobs(): number | undefined {
    const { logprobs, bestOf, n, earlyStop } = this.request.params
    return logprobs ?? ((bestOf ?? n) > n || earlyStop ? 0 : undefined)
  }

  /** The same of each token of the prompt; the completions of one request have it in common. */
  get numPromptLogprobs(): number | undefined {
    return this.index === 0 ? (this.request.params.promptLogprobs ?? undefined) : undefined
  }

  /** Rows of the prompt are still wanted, so that cached ones do not serve. */
  get needsPromptRows(): boolean {
    return this.numPromptLogprobs !== undefined && this.promptLogprobs.length < this.request.promptTokenIds.length - 1
  }

  /** A bit for each token of a vocabulary, set where the request allows it; undefined: it allows all. */
  allowedMask(vocabSize: number): Uint32Array | undefined {
    const ids = this.request.params.allowedTokenIds
    if (!ids || this.#allowed) return this.#allowed
    this.#allowed = new Uint32Array(Math.ceil(vocabSize / 32))
    for (const id of ids) this.#allowed[id >>> 5]! |= 1 << (id & 31)
    return this.#allowed
  }

  /** Whether it is known what may come next, and something may. */
  get canSample(): boolean {
    const { matcher, fault } = this
    if (fault) return false
    return !matcher || (matcher.next !== undefined && matcher.next.state !== 'complete')
  }

  /**
   * The token that must come next, where the request's grammar leaves no other and the model is not to be asked: nothing
   * else of the request bears on what comes, and nobody wants to know how likely it was.
   */
  get forcedToken(): number | undefined {
    const next = this.matcher?.next
    if (next?.state !== 'masked' || next.only === undefined || this.finish) return undefined
    const { allowedTokenIds, badWordsTokenIds } = this.request.params
    const isFree = !allowedTokenIds && badWordsTokenIds.length === 0 && !this.#thinking && !this.fault
    return isFree && this.numLogprobs === undefined && this.processors.length === 0 ? next.only : undefined
  }

  /** Of the pending tokens those that can be run now: the last one is held where the mask that it needs is late. */
  get numReady(): number {
    if (this.needsPromptRows) return Math.min(this.numPending, maxPromptRows)
    return this.matcher?.isLate ? this.numPending - 1 : this.numPending
  }

  /**
   * The token that comes where one was sampled: another one at the end of a bounded thinking, and where the text would
   * end in the midst of it though an answer of some form was asked for.
   */
  choose(sampled: number): number {
    const thinking = this.#thinking
    if (!thinking) return sampled
    if (thinking.isInside && this.request.params.structuredOutputs && this.#endsText(sampled)) thinking.end()
    return thinking.forced ?? sampled
  }

  /** Appends a sampled token, with the model's log-probability if known, and decides whether the sequence ends with it. */
  append(token: number, logprob = -Infinity): void {
    this.numForced = 0
    this.#append(token, logprob)
  }

  /** The same of the token that had to come. */
  appendForced(token: number): void {
    this.numForced++
    this.#append(token, -Infinity)
  }

  #append(token: number, logprob: number): void {
    this.tokens.push(token)
    this.#thinking?.follow(token)
    if (this.#uses) countUse(this.#uses, token, false)
    const { maxTokens, stopTokenIds, earlyStop } = this.request.params
    this.#numSure = earlyStop && Math.exp(logprob) > earlyStop.threshold ? this.#numSure + 1 : 0
    if (this.stopIds.has(token))
      this.finish = { reason: 'stop', stopReason: stopTokenIds.includes(token) ? token : null }
    else if (earlyStop && this.#numSure >= earlyStop.windowSize)
      this.finish = { reason: 'stop', stopReason: repetitionStop }
    else if (this.numGenerated >= maxTokens) this.finish = { reason: 'length', stopReason: null }
  }

  /** Uses of every token so far; kept up to date once asked for. */
  get uses(): ReadonlyMap<number, TokenUse> {
    if (!this.#uses) {
      this.#uses = new Map()
      for (const [i, token] of this.tokens.slice(this.numGiven).entries())
        countUse(this.#uses, token, i < this.request.promptTokenIds.length)
    }
    return this.#uses
  }
}

function countUse(uses: Map<number, TokenUse>, token: number, inPrompt: boolean): void {
  const use = uses.get(token)
  if (!use) uses.set(token, { count: inPrompt ? 0 : 1, inPrompt })
  else if (!inPrompt) use.count++
}

/** The 64-bit key of a sequence's random draws, as two words; completions of one request differ by index. */
function seedWordsOf(seed: number, index: number): [number, number] {
  const bits = BigInt.asUintN(64, BigInt(seed))
  const low = Number(bits & 0xffffffffn)
  const high = Number(bits >> 32n)
  return [low, (high ^ Math.imul(index, 0x9e3779b9)) >>> 0]
}
