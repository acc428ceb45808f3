import type { TokenEntry } from './api.ts'

/** A stretch of a text that one token made, or several where each made a part of a character. */
export interface TokenSpan {
  readonly start: number
  readonly end: number
  /** Indices of the tokens. */
  readonly from: number
  readonly to: number
}

/** Characters that a run of partial tokens may stand for: an emoji of several parts. */
const maxPartial = 16

/**
 * Which tokens made which part of `text`, beginning with token `from`. Tokens that are not in it, such as the marks
 * around reasoning, are passed over. `next` is the first token after the text.
 */
export function tokenSpans(
  tokens: readonly TokenEntry[],
  text: string,
  from: number,
): { readonly spans: TokenSpan[]; readonly next: number } {
  const spans: TokenSpan[] = []
  let at = 0
  let i = from
  while (i < tokens.length && at < text.length) {
    const { token, bytes } = tokens[i]!
    if (bytes === null) {
      let to = i + 1
      while (to < tokens.length && tokens[to]!.bytes === null) to++
      // what follows tells where the characters end
      const following = tokens[to]?.token
      const end = following === undefined || following === '' ? text.length : text.indexOf(following, at + 1)
      if (end > at && end - at <= maxPartial) {
        spans.push({ start: at, end, from: i, to })
        at = end
      }
      i = to
    } else {
      // the end may be cut by a stop string
      const size = Math.min(token.length, text.length - at)
      if (size > 0 && text.startsWith(token.slice(0, size), at)) {
        spans.push({ start: at, end: at + size, from: i, to: i + 1 })
        at += size
      }
      i++
    }
  }
  return { spans, next: i }
}

/** The spans within a stretch of the text; both are in order. */
export function spansWithin(spans: readonly TokenSpan[], start: number, end: number): readonly TokenSpan[] {
  let low = 0
  let high = spans.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (spans[middle]!.end <= start) low = middle + 1
    else high = middle
  }
  let last = low
  while (last < spans.length && spans[last]!.start < end) last++
  return spans.slice(low, last)
}
