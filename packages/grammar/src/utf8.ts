import type { CodeRange } from './ast.ts'

/** Bytes of one place of an encoding, both ends included. */
export type ByteRange = readonly [low: number, high: number]

/** First and last code point with each number of bytes; surrogates are no characters. */
const lengths: readonly CodeRange[] = [
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
]

/** Runs of bytes that together encode exactly the characters from U+0080 on in a range. */
export function utf8Ranges([low, high]: CodeRange): ByteRange[][] {
  return lengths.flatMap(([first, last]) => {
    const [from, to] = [Math.max(low, first), Math.min(high, last)]
    return from > to ? [] : split(encode(from), encode(to))
  })
}

function encode(code: number): number[] {
  if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 63)]
  if (code < 0x10000) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
}

/** Everything between two encodings of equal length. */
function split(low: readonly number[], high: readonly number[]): ByteRange[][] {
  const [a, b] = [low[0]!, high[0]!]
  if (low.length === 1) return [[[a, b]]]
  const [lowRest, highRest] = [low.slice(1), high.slice(1)]
  const least = lowRest.map(() => 0x80)
  const most = highRest.map(() => 0xbf)
  if (a === b) return split(lowRest, highRest).map((rest) => [[a, a], ...rest])
  const isWholeLow = lowRest.every((byte) => byte === 0x80)
  const isWholeHigh = highRest.every((byte) => byte === 0xbf)
  const [first, last] = [isWholeLow ? a : a + 1, isWholeHigh ? b : b - 1]
  const runs: ByteRange[][] = []
  if (!isWholeLow) runs.push(...split(lowRest, most).map((rest): ByteRange[] => [[a, a], ...rest]))
  if (first <= last) runs.push([[first, last], ...least.map((): ByteRange => [0x80, 0xbf])])
  if (!isWholeHigh) runs.push(...split(least, highRest).map((rest): ByteRange[] => [[b, b], ...rest]))
  return runs
}
