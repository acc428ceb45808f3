import type { GrammarMatcher } from './matcher.ts'
import type { NextTokens, Trigger } from './protocol.ts'
import type { Vocabulary } from './vocabulary.ts'

/** A matcher that begins when the output has come to a certain place, such as the end of a model's thinking. */
export class TriggeredMatcher {
  readonly #matcher: GrammarMatcher
  readonly #vocabulary: Vocabulary
  readonly #stopIds: ReadonlySet<number>
  readonly #mask: Uint32Array
  /** Bytes, or ids, that have to come first; undefined once they have. */
  #awaited: readonly number[] | undefined
  readonly #isText: boolean
  /** The end of what has come, no longer than what is awaited plus one token. */
  #seen: number[] = []

  constructor(matcher: GrammarMatcher, vocabulary: Vocabulary, stopIds: readonly number[], after: Trigger | undefined) {
    this.#matcher = matcher
    this.#vocabulary = vocabulary
    this.#stopIds = new Set([...vocabulary.stopIds, ...stopIds])
    this.#mask = new Uint32Array(Math.ceil(vocabulary.size / 32))
    this.#isText = after !== undefined && 'text' in after
    if (after) this.#awaited = 'text' in after ? [...new TextEncoder().encode(after.text)] : after.tokenIds
  }

  /** Follows one token; false if the grammar does not allow it. */
  accept(token: number): boolean {
    if (!this.#awaited) return this.#matcher.accept(token)
    const pieces = this.#isText ? (this.#vocabulary.bytes[token] ?? []) : [token]
    this.#seen.push(...pieces)
    const at = lastIndexOf(this.#seen, this.#awaited)
    if (at < 0) {
      this.#seen = this.#seen.slice(-this.#awaited.length)
      return true
    }
    const rest = this.#seen.slice(at + this.#awaited.length)
    this.#awaited = undefined
    // what a token brought beyond the trigger belongs to the answer if it fits, and to what was before if not
    const text = new TextDecoder().decode(Uint8Array.from(rest)).trimStart()
    if (text !== '') this.#matcher.acceptText(text)
    return true
  }

  next(): NextTokens {
    if (this.#awaited) return { state: 'free' }
    const mask = this.#mask
    if (!this.#matcher.fillMask(mask)) return { state: 'free' }
    return this.#isOnlyStops(mask) ? { state: 'complete' } : { state: 'masked', mask: mask.slice() }
  }

  dispose(): void {
    this.#matcher.dispose()
  }

  #isOnlyStops(mask: Uint32Array): boolean {
    let stops = 0
    for (const id of this.#stopIds) stops += (mask[id >>> 5]! >>> (id & 31)) & 1
    for (let word of mask) for (; word !== 0; word &= word - 1) if (--stops < 0) return false
    return true
  }
}

function lastIndexOf(list: readonly number[], part: readonly number[]): number {
  for (let at = list.length - part.length; at >= 0; at--) if (part.every((item, i) => list[at + i] === item)) return at
  return -1
}
