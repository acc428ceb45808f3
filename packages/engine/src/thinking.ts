import type { ThinkingTags } from '@slipway/grammar'

/** Where a model thinks before it answers: constraints begin behind it, and its length can be bounded. */
export interface Thinking extends ThinkingTags {
  /** Most tokens between the tags, then the end tag is forced; absent: as many as the model wants. */
  readonly maxTokens?: number | undefined
}

/**
 * Follows the thinking of one sequence, token by token, and says when its end tag is to come. What it says depends on
 * the tokens so far alone, so preemption and neighbours change nothing.
 */
export class ThinkingTracker {
  readonly #thinking: Thinking
  #state: 'before' | 'inside' | 'behind'
  /** Tokens of the start tag that have come. */
  #numStarted = 0
  /** Tokens since the start tag, and of these the last ones that may become the end tag. */
  #numInside = 0
  #tail: number[] = []
  #isForced = false

  constructor(thinking: Thinking) {
    this.#thinking = thinking
    const { isOpen } = thinking
    this.#state = isOpen === undefined ? 'before' : isOpen ? 'inside' : 'behind'
  }

  get isInside(): boolean {
    return this.#state === 'inside'
  }

  /** The token that has to come next, whatever is sampled. */
  get forced(): number | undefined {
    const { endIds, maxTokens = Infinity } = this.#thinking
    if (this.#state !== 'inside') return undefined
    const isOver = this.#isForced || this.#numInside - this.#tail.length >= maxTokens
    return isOver ? endIds[this.#tail.length] : undefined
  }

  /** Ends the thinking from the next token on. */
  end(): void {
    this.#isForced = true
  }

  follow(token: number): void {
    const { startIds, endIds, isOpen } = this.#thinking
    if (this.#state === 'before') {
      if (token !== startIds[this.#numStarted]) this.#state = 'behind'
      else if (++this.#numStarted === startIds.length) this.#state = 'inside'
    } else if (this.#state === 'inside') {
      this.#numInside++
      // models repeat the start tag that their prompt ends with
      if (isOpen && this.#numStarted === this.#numInside - 1 && token === startIds[this.#numStarted]) {
        if (++this.#numStarted === startIds.length) this.#numInside = 0
        return
      }
      this.#tail = beginningAtEnd(endIds, [...this.#tail, token])
      if (this.#tail.length === endIds.length) this.#state = 'behind'
    }
  }
}

/** The longest end of `tokens` that `tag` begins with. */
function beginningAtEnd(tag: readonly number[], tokens: readonly number[]): number[] {
  for (let from = Math.max(0, tokens.length - tag.length); from < tokens.length; from++)
    if (tokens.slice(from).every((token, i) => token === tag[i])) return tokens.slice(from)
  return []
}
