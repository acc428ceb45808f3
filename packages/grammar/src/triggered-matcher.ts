import type { GrammarMatcher } from './matcher.ts'
import type { NextTokens, Trigger } from './protocol.ts'
import { allow } from './token-trie.ts'
import type { Vocabulary } from './vocabulary.ts'

/** A matcher that begins when the output has come to a certain place, such as the end of a model's thinking. */
export class TriggeredMatcher {
  readonly #matcher: GrammarMatcher
  readonly #vocabulary: Vocabulary
  readonly #stopIds: ReadonlySet<number>
  readonly #mask: Uint32Array
  /** Tokens of a tag with which the output may begin; undefined once it has begun. */
  #start: readonly number[] | undefined
  /** How many of them have come. */
  #numStarted = 0
  /** Bytes, or ids, that have to come first; undefined once they have. */
  #awaited: readonly number[] | undefined
  readonly #isText: boolean
  /** The end of what has come, no longer than what is awaited plus one token. */
  #seen: number[] = []
  readonly #isThinking: boolean
  /** Line ends may come now, which belong to no grammar. */
  #isBehindThinking = false

  constructor(matcher: GrammarMatcher, vocabulary: Vocabulary, stopIds: readonly number[], after: Trigger | undefined) {
    this.#matcher = matcher
    this.#vocabulary = vocabulary
    this.#stopIds = new Set([...vocabulary.stopIds, ...stopIds])
    this.#mask = new Uint32Array(Math.ceil(vocabulary.size / 32))
    this.#isThinking = after !== undefined && 'thinking' in after
    this.#isText = after !== undefined && !('tokenIds' in after)
    if (!after) return
    if ('text' in after) this.#awaited = [...new TextEncoder().encode(after.text)]
    else if ('tokenIds' in after) this.#awaited = after.tokenIds
    else {
      const { startIds, endIds, isOpen } = after.thinking
      if (isOpen !== false) this.#awaited = endIds.flatMap((id) => [...(vocabulary.bytes[id] ?? [])])
      if (isOpen === undefined) this.#start = startIds
    }
  }

  /** Follows one token; false if the grammar does not allow it. */
  accept(token: number): boolean {
    // a tag that has begun goes on
    if (this.#start && this.#numStarted > 0 && token !== this.#start[this.#numStarted]) return false
    if (this.#start && this.#begin(this.#start, token)) return true
    if (this.#awaited) return this.#await(this.#awaited, token)
    const isLineEnd = this.#isBehindThinking && this.#isLineEnd(token)
    this.#isBehindThinking = false
    return this.#matcher.accept(token) || isLineEnd
  }

  /** Whether a token at the beginning is one of the start tag; if not, there is nothing to wait for. */
  #begin(start: readonly number[], token: number): boolean {
    // a tag of several tokens begins as other texts do, so the grammar goes first
    const isAnswer =
      token !== start[this.#numStarted] || (start.length > 1 && this.#numStarted === 0 && this.#isAllowed(token))
    if (isAnswer) this.#awaited = undefined
    else this.#numStarted++
    if (isAnswer || this.#numStarted === start.length) this.#start = undefined
    return !isAnswer
  }

  #isAllowed(token: number): boolean {
    if (!this.#matcher.accept(token)) return false
    this.#matcher.rollback(1)
    return true
  }

  #await(awaited: readonly number[], token: number): boolean {
    const pieces = this.#isText ? (this.#vocabulary.bytes[token] ?? []) : [token]
    this.#seen.push(...pieces)
    const at = lastIndexOf(this.#seen, awaited)
    if (at < 0) {
      this.#seen = this.#seen.slice(-awaited.length)
      return true
    }
    const rest = this.#seen.slice(at + awaited.length)
    this.#awaited = undefined
    // what a token brought beyond the trigger belongs to the answer if it fits, and to what was before if not
    const text = new TextDecoder().decode(Uint8Array.from(rest)).trimStart()
    if (text !== '') this.#matcher.acceptText(text)
    else this.#isBehindThinking = this.#isThinking
    return true
  }

  next(): NextTokens {
    const mask = this.#mask
    if (this.#start && this.#numStarted > 0) {
      mask.fill(0)
      allow(mask, this.#start[this.#numStarted]!)
      return { state: 'masked', mask: mask.slice() }
    }
    if (this.#awaited && !this.#start) return { state: 'free' }
    if (!this.#matcher.fillMask(mask)) return { state: 'free' }
    if (this.#isOnlyStops(mask)) return { state: 'complete' }
    if (this.#start) allow(mask, this.#start[0]!)
    if (this.#isBehindThinking) for (const id of this.#vocabulary.bytes.keys()) if (this.#isLineEnd(id)) allow(mask, id)
    return { state: 'masked', mask: mask.slice() }
  }

  dispose(): void {
    this.#matcher.dispose()
  }

  /** A token of line ends alone, as models write them between thinking and answer. */
  #isLineEnd(token: number): boolean {
    const bytes = this.#vocabulary.bytes[token]
    return bytes !== undefined && bytes.length > 0 && bytes.length <= 2 && bytes.every((byte) => byte === 0x0a)
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
