export interface Random {
  /** From 0 to below the limit. */
  below(limit: number): number
  /** Cuts a text into pieces of any length. */
  split(text: string): string[]
  /** Cuts off, takes out, doubles or swaps pieces of a text, markup above all. */
  mutate(text: string, marks: readonly string[]): string
}

/** Repeatable random numbers (mulberry32). */
export function newRandom(seed: number): Random {
  let state = seed | 0
  const below = (limit: number): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((((mixed ^ (mixed >>> 14)) >>> 0) * limit) / 2 ** 32) | 0
  }
  const split = (text: string): string[] => {
    const longest = 1 + below(40)
    const pieces: string[] = []
    for (let at = 0; at < text.length;) {
      const length = 1 + below(longest)
      pieces.push(text.slice(at, at + length))
      at += length
    }
    return pieces
  }
  const mutate = (text: string, marks: readonly string[]): string => {
    let result = text
    for (let i = 1 + below(3); i > 0; i--) {
      const mark = marks[below(marks.length)] ?? '{'
      const places = placesOf(result, mark)
      const at = places.length > 0 ? places[below(places.length)]! : below(result.length + 1)
      const length = result.startsWith(mark, at) ? mark.length : 0
      const [head, tail] = [result.slice(0, at), result.slice(at + length)]
      const other = marks[below(marks.length)] ?? ''
      result = [
        result.slice(0, below(result.length + 1)),
        head + tail,
        head + mark + mark + tail,
        head + other + tail,
        head + mark + other + tail,
        result.slice(below(result.length + 1)),
      ][below(6)]!
    }
    return result
  }
  return { below, split, mutate }
}

function placesOf(text: string, mark: string): number[] {
  const places: number[] = []
  for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) places.push(at)
  return places
}

/** Tags and brackets of a text. */
export function markup(text: string): string[] {
  return [...new Set(text.match(/<[^<>\s]{1,24}>|\[[A-Z_]+\]|```json|```|[{}[\]":,;]/g) ?? [])]
}

/** Words that only the model's own text has: parts of tags and keys that may be markup are left out. */
export function wordsOf(text: string): string[] {
  const plain = text.replaceAll(/<\/?[\w|=｜▁]*>?|\[CALL_ID\]?\w*|[[\]A-Z_]*\]|```json/g, ' ')
  const words = plain.match(/[\p{L}\p{N}]{3,}/gu) ?? []
  return words.filter((word) => !markupWords.some((other) => other.includes(word)))
}

const markupWords =
  'tool call calls begin end sep function parameter parameters arguments name think response arg key value json python tag null TOOL CALLS ARGS CALL type thin id True a1b2c3d4e'.split(
    ' ',
  )
