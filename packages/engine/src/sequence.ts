import type { RemoteMatcher } from '@slipway/grammar'
import type { BlockOwner } from './block-pool.ts'
import type { FinishReason } from './outputs.ts'
import type { ResolvedParams } from './sampling-params.ts'
import type { ResolvedScheduling } from './scheduling-options.ts'

/** What a request tells the engine: tokens in, decided parameters. Survives `postMessage`. */
export interface EngineRequest {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  /** `seed` is decided and `maxTokens` is bounded by the model's length. */
  readonly params: ResolvedParams & { readonly seed: number; readonly maxTokens: number }
  readonly scheduling: ResolvedScheduling
}

/** How often a token occurs, for penalties. */
export interface TokenUse {
  /** Times generated. */
  count: number
  readonly inPrompt: boolean
}

/** One completion being generated: its tokens, its blocks and how far its keys and values are computed. */
export class Sequence implements BlockOwner {
  readonly request: EngineRequest
  readonly index: number
  /** Prompt, then generated tokens. */
  readonly tokens: number[]
  readonly blocks: number[] = []
  readonly stopIds: ReadonlySet<number>
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
  finish: { reason: FinishReason; stopReason: number | null } | undefined
  /** Says which tokens may come next, where the request constrains its text. */
  matcher: RemoteMatcher | undefined
  #uses: Map<number, TokenUse> | undefined

  /** `index` tells apart the completions of one request; `eosIds` end a sequence unless the request ignores them. */
  constructor(request: EngineRequest, index: number, eosIds: readonly number[]) {
    this.request = request
    this.index = index
    this.tokens = [...request.promptTokenIds]
    const { ignoreEos, stopTokenIds } = request.params
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

  get cacheSalt(): string {
    return this.request.scheduling.cacheSalt
  }

  get numGenerated(): number {
    return this.tokens.length - this.request.promptTokenIds.length
  }

  /** Tokens still to be run through the model before the next one can be sampled. */
  get numPending(): number {
    return this.tokens.length - this.numComputed
  }

  /** Whether it is known what may come next, and something may. */
  get canSample(): boolean {
    const { matcher } = this
    return !matcher || (matcher.next !== undefined && matcher.next.state !== 'complete')
  }

  /** Of the pending tokens those that can be run now: the last one is held where the mask that it needs is late. */
  get numReady(): number {
    return this.matcher?.isLate ? this.numPending - 1 : this.numPending
  }

  /** Appends a sampled token and decides whether the sequence ends with it. */
  append(token: number): void {
    this.tokens.push(token)
    if (this.#uses) countUse(this.#uses, token, false)
    const { maxTokens, stopTokenIds } = this.request.params
    if (this.stopIds.has(token))
      this.finish = { reason: 'stop', stopReason: stopTokenIds.includes(token) ? token : null }
    else if (this.numGenerated >= maxTokens) this.finish = { reason: 'length', stopReason: null }
  }

  /** Uses of every token so far; kept up to date once asked for. */
  get uses(): ReadonlyMap<number, TokenUse> {
    if (!this.#uses) {
      this.#uses = new Map()
      for (const [i, token] of this.tokens.entries())
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
