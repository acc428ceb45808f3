import { SlipwayError } from '@slipway/tensor'
import type { Bindings, MatcherHandle } from './xgrammar.ts'

/** Follows one text through a grammar, token by token. */
export class GrammarMatcher {
  readonly #open: () => MatcherHandle
  readonly #bindings: Bindings
  readonly #vocabSize: number
  readonly #guard: <T>(run: () => T) => T
  readonly #handle: MatcherHandle
  /** What was accepted: tokens, and texts that stood before the first one. */
  readonly #accepted: (number | string)[] = []

  /** Made by `CompiledGrammar.matcher`; `open` gives a fresh state. */
  constructor(open: () => MatcherHandle, bindings: Bindings, vocabSize: number, guard: <T>(run: () => T) => T) {
    this.#open = open
    this.#bindings = bindings
    this.#vocabSize = vocabSize
    this.#guard = guard
    this.#handle = guard(open)
  }

  /**
   * Writes the tokens that may come next, bit `id % 32` of word `id / 32`; false if all may, and then nothing is
   * written. A stop token may come exactly where the text may end.
   */
  fillMask(into: Uint32Array): boolean {
    const numWords = Math.ceil(this.#vocabSize / 32)
    if (into.length !== numWords)
      throw new SlipwayError(
        'internal',
        `a mask of ${into.length} words for ${this.#vocabSize} tokens, not ${numWords}`,
      )
    if (this.isTerminated()) {
      into.fill(0)
      return true
    }
    return this.#guard(() => {
      const vector = this.#handle.GetNextTokenBitmask(this.#vocabSize)
      into.set(this.#bindings.vecIntToView(vector))
      vector.delete()
      return !allSet(into, this.#vocabSize)
    })
  }

  /** Goes on with a token; false, and nothing changes, if the grammar does not allow it. */
  accept(token: number): boolean {
    if (this.isTerminated() || !(token >= 0 && token < this.#vocabSize)) return false
    const isAccepted = this.#guard(() => this.#handle.AcceptToken(token, false))
    if (isAccepted) this.#accepted.push(token)
    return isAccepted
  }

  /** Goes on with text that is no token of its own. */
  acceptText(text: string): boolean {
    if (this.isTerminated()) return false
    const isAccepted = this.#guard(() => this.#handle.AcceptString(text, false))
    if (isAccepted) this.#accepted.push(text)
    return isAccepted
  }

  /** True after a stop token. */
  isTerminated(): boolean {
    return this.#guard(() => this.#handle.IsTerminated())
  }

  /** Takes back the last `count` things that were accepted. */
  rollback(count: number): void {
    if (!(Number.isInteger(count) && count >= 0 && count <= this.#accepted.length))
      throw new SlipwayError('internal', `a rollback by ${count} of ${this.#accepted.length} tokens`)
    this.#guard(() => this.#handle.Rollback(count))
    this.#accepted.length -= count
  }

  /** Another matcher at the same place. Costs a walk through all that was accepted. */
  fork(): GrammarMatcher {
    const other = new GrammarMatcher(this.#open, this.#bindings, this.#vocabSize, this.#guard)
    for (const item of this.#accepted)
      if (typeof item === 'number') other.accept(item)
      else other.acceptText(item)
    return other
  }

  dispose(): void {
    this.#handle.delete()
  }
}

function allSet(mask: Uint32Array, count: number): boolean {
  const whole = Math.floor(count / 32)
  for (let i = 0; i < whole; i++) if (mask[i] !== 0xffffffff) return false
  const rest = count % 32
  return rest === 0 || mask[whole] === 2 ** rest - 1
}
