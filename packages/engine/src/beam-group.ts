import type { Adapter } from './adapters.ts'
import { BeamSearch, type EndedBeam } from './beam-search.ts'
import type { RawLogprobs } from './runner.ts'
import { Sequence, type EngineRequest } from './sequence.ts'

/** What becomes of the sequences of a group when all have run. */
export interface GroupStep {
  /** Go on with another token, where they are. */
  readonly kept: readonly Sequence[]
  /** Begin where another one stands. */
  readonly forks: readonly { readonly parent: Sequence; readonly child: Sequence; readonly token: number }[]
  /** Are left without a beam. */
  readonly dropped: readonly Sequence[]
}

/**
 * The sequences of one beam search: each running beam is one, and all of them take a step before any takes the next.
 * One that has run waits outside the scheduler, without blocks of its own, so that groups cannot lock each other out.
 */
export class BeamGroup {
  readonly request: EngineRequest
  readonly #search: BeamSearch
  readonly #namedStops: readonly number[]
  readonly #tops = new Map<Sequence, RawLogprobs['top']>()
  /** By beam. */
  sequences: Sequence[]
  /** Those that have left the scheduler to wait for the others. */
  readonly held = new Set<Sequence>()
  numCached: number | undefined

  /** The one that the search began with. */
  readonly first: Sequence
  readonly #adapter: Adapter | undefined

  constructor(request: EngineRequest, eosIds: readonly number[], adapter?: Adapter) {
    this.#adapter = adapter
    const { params, beamSearch } = request
    const stopIds = new Set([...(params.ignoreEos ? [] : eosIds), ...params.stopTokenIds])
    this.#search = new BeamSearch({ ...beamSearch!, maxTokens: params.maxTokens, stopIds })
    this.#namedStops = params.stopTokenIds
    // a sequence never ends by itself, and tells its best tokens
    const own = {
      ...params,
      temperature: 0,
      ignoreEos: true,
      stopTokenIds: [],
      maxTokens: 2 ** 31 - 1,
      logprobs: this.#search.numCandidates,
    }
    this.request = { ...request, params: own }
    this.first = new Sequence(this.request, 0, [], adapter)
    this.sequences = [this.first]
  }

  /** Best first, `n` of them. */
  ended(n: number): readonly EndedBeam[] {
    return this.#search.ended.slice(0, n)
  }

  /** The stop token that a request named; null for an end of text. */
  stopReasonOf(stopToken: number | undefined): number | null {
    return stopToken !== undefined && this.#namedStops.includes(stopToken) ? stopToken : null
  }

  /** A sequence has run: these are its best next tokens. */
  take(sequence: Sequence, { top }: RawLogprobs): void {
    this.numCached ??= sequence.numCached
    this.#tops.set(sequence, top)
  }

  get isReady(): boolean {
    return this.#tops.size === this.sequences.length
  }

  /** Sequences that have run while others have not. */
  get waiting(): readonly Sequence[] {
    return [...this.#tops.keys()].filter((sequence) => !this.held.has(sequence))
  }

  /** Moves on to the next beams; undefined when the search is over. */
  advance(): GroupStep | undefined {
    const parents = this.sequences
    const next = this.#search.advance(parents.map((sequence) => this.#tops.get(sequence)!))
    this.#tops.clear()
    if (next.length === 0) return undefined
    const kept = new Map<Sequence, number>()
    const forks: { parent: Sequence; child: Sequence; token: number }[] = []
    this.sequences = next.map(({ parent: p, token }, i) => {
      const parent = parents[p]!
      if (!kept.has(parent)) {
        kept.set(parent, token)
        return parent
      }
      const child = new Sequence(this.request, i, [], this.#adapter)
      child.tokens.push(...parent.tokens.slice(child.tokens.length), token)
      // what it finds cached is not news
      child.numCached = this.numCached
      forks.push({ parent, child, token })
      return child
    })
    for (const [sequence, token] of kept) sequence.append(token)
    return { kept: [...kept.keys()], forks, dropped: parents.filter((sequence) => !kept.has(sequence)) }
  }
}
