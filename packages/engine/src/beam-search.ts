/** What decides a beam search, but for the model. */
export interface BeamSettings {
  readonly beamWidth: number
  /** Beams are compared by log-probability / length ** lengthPenalty: above 0 favours long ones. */
  readonly lengthPenalty: number
  /**
   * When to stop, once `beamWidth` beams have ended: true at once; false when the best running one, at its length of
   * now, is no better than the worst of them; 'never' when it could not become so at any length.
   */
  readonly earlyStopping: boolean | 'never'
  readonly maxTokens: number
  readonly stopIds: ReadonlySet<number>
}

/** A beginning of an answer, with the sum of its tokens' log-probabilities. */
export interface Beam {
  readonly tokenIds: readonly number[]
  readonly logprob: number
}

export interface EndedBeam extends Beam {
  /** logprob / length ** lengthPenalty. */
  readonly score: number
  /** The last token where that ended it, and not the length. */
  readonly stopToken: number | undefined
}

/** How one of the next beams goes on: which of the running ones, and with which token. */
export interface Continuation {
  readonly parent: number
  readonly token: number
}

/**
 * Beam search as transformers defines it, ties by beam and token id. It keeps the `beamWidth` best running beams and as
 * many ended ones; only a beam that ends among the best `beamWidth` of all candidates counts as ended.
 */
export class BeamSearch {
  readonly #settings: BeamSettings
  #running: readonly Beam[] = [{ tokenIds: [], logprob: 0 }]
  #ended: readonly EndedBeam[] = []

  constructor(settings: BeamSettings) {
    this.#settings = settings
  }

  get running(): readonly Beam[] {
    return this.#running
  }

  /** Best first. */
  get ended(): readonly EndedBeam[] {
    return this.#ended
  }

  /** Best tokens of each running beam that a step has to know: so many that enough of them do not end it. */
  get numCandidates(): number {
    const { beamWidth, stopIds } = this.#settings
    return beamWidth * Math.max(2, 1 + stopIds.size)
  }

  /** Takes the best next tokens of every running beam. Returns how the next beams go on; none when the search is over. */
  advance(tops: readonly (readonly { readonly tokenId: number; readonly logprob: number }[])[]): Continuation[] {
    const { beamWidth, lengthPenalty, maxTokens, stopIds } = this.#settings
    const length = this.#running[0]!.tokenIds.length + 1
    const all = tops.flatMap((top, parent) =>
      top.map(({ tokenId, logprob }) => ({
        parent,
        token: tokenId,
        logprob: this.#running[parent]!.logprob + logprob,
      })),
    )
    all.sort((a, b) => b.logprob - a.logprob || a.parent - b.parent || a.token - b.token)
    const candidates = all.slice(0, this.numCandidates)
    const beamOf = ({ parent, token, logprob }: (typeof all)[number]): Beam => ({
      tokenIds: [...this.#running[parent]!.tokenIds, token],
      logprob,
    })
    const ends = ({ token }: Continuation): boolean => stopIds.has(token) || length >= maxTokens
    const ending = candidates.slice(0, beamWidth).filter(ends)
    this.#ended = [
      ...this.#ended,
      ...ending.map((candidate) => ({
        ...beamOf(candidate),
        score: candidate.logprob / length ** lengthPenalty,
        stopToken: stopIds.has(candidate.token) ? candidate.token : undefined,
      })),
    ]
      .sort((a, b) => b.score - a.score)
      .slice(0, beamWidth)
    const next = candidates.filter((candidate) => !ends(candidate)).slice(0, beamWidth)
    this.#running = next.map(beamOf)
    return this.#isOver(length) ? [] : next
  }

  #isOver(length: number): boolean {
    const { beamWidth, lengthPenalty, earlyStopping, maxTokens } = this.#settings
    const best = this.#running[0]
    if (!best) return true
    if (this.#ended.length < beamWidth) return false
    if (earlyStopping === true) return true
    const reached = earlyStopping === 'never' && lengthPenalty > 0 ? maxTokens : length
    return best.logprob / reached ** lengthPenalty <= this.#ended.at(-1)!.score
  }
}
