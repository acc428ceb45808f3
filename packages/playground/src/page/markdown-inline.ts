import type { Line } from './markdown.ts'

export type Inline =
  | { readonly kind: 'text' | 'code'; readonly text: string; readonly at: number }
  | { readonly kind: 'strong' | 'em' | 'del'; readonly children: readonly Inline[] }
  | { readonly kind: 'link'; readonly href: string; readonly children: readonly Inline[] }
  | { readonly kind: 'break' }

const maxDepth = 8
const special = /[`*_~[\\\n]|https?:\/\//g
const kinds = { '***': 'strong', '**': 'strong', __: 'strong', '*': 'em', _: 'em', '~~': 'del' } as const

/** Lines of text with marks in them. A line end is a line end: models mean it. */
export function parseInline(lines: readonly Line[]): Inline[] {
  const text = lines.map((line) => line.text).join('\n')
  return new InlineParser(text, lines).parse(0, text.length, 0)
}

class InlineParser {
  readonly #text: string
  readonly #lines: readonly Line[]
  /** Where each line begins in the joined text. */
  readonly #starts: readonly number[]
  /** Marks that are known not to come again, so that nobody looks for them twice. */
  readonly #gone = new Set<string>()

  constructor(text: string, lines: readonly Line[]) {
    this.#text = text
    this.#lines = lines
    let start = 0
    this.#starts = lines.map((line) => {
      const own = start
      start += line.text.length + 1
      return own
    })
  }

  /** Where a place of the joined text stands in the source. */
  #at(place: number): number {
    let i = this.#starts.length - 1
    while (i > 0 && this.#starts[i]! > place) i--
    return this.#lines[i]!.at + place - this.#starts[i]!
  }

  parse(start: number, end: number, depth: number): Inline[] {
    const out: Inline[] = []
    const plain = (from: number, to: number): void => {
      if (to > from) out.push({ kind: 'text', text: this.#text.slice(from, to), at: this.#at(from) })
    }
    let done = start
    let place = start
    while (place < end) {
      special.lastIndex = place
      const found = special.exec(this.#text)
      if (!found || found.index >= end) break
      place = found.index
      const node = this.#nodeAt(place, end, depth)
      if (node) {
        plain(done, place)
        out.push(...node.nodes)
        done = place = node.end
      } else place += found[0].length
    }
    plain(done, end)
    return out
  }

  /** What a mark begins; undefined where it is just a character. */
  #nodeAt(place: number, end: number, depth: number): { nodes: Inline[]; end: number } | undefined {
    const text = this.#text
    const sign = text[place]!
    if (sign === '\n') return { nodes: [{ kind: 'break' }], end: place + 1 }
    if (sign === '\\') {
      const next = text[place + 1]
      if (next === undefined || place + 1 >= end || !/[!-/:-@[-`{-~]/.test(next)) return undefined
      return { nodes: [{ kind: 'text', text: next, at: this.#at(place + 1) }], end: place + 2 }
    }
    if (sign === '`') return this.#code(place, end)
    if (sign === 'h') return this.#address(place, end)
    if (depth >= maxDepth) return undefined
    if (sign === '[') return this.#link(place, end, depth)
    return this.#emphasis(place, end, depth)
  }

  /** The next place of a mark after `from`, before `end`. */
  #find(mark: string, from: number, end: number): number {
    // beyond the end of one part it may still be found for another
    if (this.#gone.has(mark)) return -1
    const place = this.#text.indexOf(mark, from)
    if (place < 0) this.#gone.add(mark)
    return place < 0 || place + mark.length > end ? -1 : place
  }

  #code(place: number, end: number): { nodes: Inline[]; end: number } | undefined {
    let from = place
    while (this.#text[from] === '`') from++
    const mark = this.#text.slice(place, from)
    const to = this.#find(mark, from, end)
    if (to < 0) return { nodes: [{ kind: 'text', text: mark, at: this.#at(place) }], end: from }
    const nodes: Inline[] = [{ kind: 'code', text: this.#text.slice(from, to), at: this.#at(from) }]
    return { nodes, end: to + mark.length }
  }

  #address(place: number, end: number): { nodes: Inline[]; end: number } | undefined {
    const [raw] = /^https?:\/\/[^\s<>"'`]+/.exec(this.#text.slice(place, Math.min(end, place + 2048))) ?? []
    const href = raw && safeAddress(raw.replace(/[.,;:!?)\]*_]+$/, ''))
    if (!href) return undefined
    const length = raw.replace(/[.,;:!?)\]*_]+$/, '').length
    const children: Inline[] = [{ kind: 'text', text: this.#text.slice(place, place + length), at: this.#at(place) }]
    return { nodes: [{ kind: 'link', href, children }], end: place + length }
  }

  #link(place: number, end: number, depth: number): { nodes: Inline[]; end: number } | undefined {
    const middle = this.#find('](', place, end)
    if (middle < 0 || middle - place > 1024 || this.#text.lastIndexOf('[', middle) !== place) return undefined
    const close = this.#find(')', middle, end)
    if (close < 0) return undefined
    const href = safeAddress(
      this.#text
        .slice(middle + 2, close)
        .trim()
        .split(/\s/)[0]!,
    )
    if (!href) return undefined
    return { nodes: [{ kind: 'link', href, children: this.parse(place + 1, middle, depth + 1) }], end: close + 1 }
  }

  #emphasis(place: number, end: number, depth: number): { nodes: Inline[]; end: number } | undefined {
    const text = this.#text
    const mark = (['***', '**', '__', '~~', '*', '_'] as const).find((each) => text.startsWith(each, place))
    const from = place + (mark?.length ?? 0)
    if (!mark || from >= end || /\s/.test(text[from]!)) return undefined
    const inWord = (i: number): boolean => /[\p{L}\p{N}]/u.test(text[i] ?? '')
    if (mark[0] === '_' && inWord(place - 1)) return undefined
    let to = this.#find(mark, from + 1, end)
    // `*` within `**` is not its end
    while (to >= 0 && mark.length === 1 && (text[to + 1] === mark || text[to - 1] === mark)) {
      let next = to + 1
      while (text[next] === mark) next++
      to = this.#find(mark, next, end)
    }
    if (to < 0 || /\s/.test(text[to - 1]!) || (mark[0] === '_' && inWord(to + mark.length))) return undefined
    const children = this.parse(from, to, depth + 1)
    const inner: Inline = { kind: kinds[mark], children }
    return { nodes: [mark === '***' ? { kind: 'em', children: [inner] } : inner], end: to + mark.length }
  }
}

/** An address that a link may lead to; others, such as `javascript:`, are none. */
export function safeAddress(text: string): string | undefined {
  if (!/^(?:https?:\/\/|mailto:)/i.test(text) || !URL.canParse(text)) return undefined
  return new URL(text).href
}
