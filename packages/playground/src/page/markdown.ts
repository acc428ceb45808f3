import { parseInline, type Inline } from './markdown-inline.ts'

/** A line, and where it stands in the source. */
export interface Line {
  readonly text: string
  readonly at: number
}

export type Block =
  | { readonly kind: 'paragraph'; readonly children: readonly Inline[] }
  | { readonly kind: 'heading'; readonly level: number; readonly children: readonly Inline[] }
  | { readonly kind: 'code'; readonly language: string; readonly lines: readonly Line[] }
  | { readonly kind: 'quote'; readonly children: readonly Block[] }
  | {
      readonly kind: 'list'
      /** First number of an ordered list. */
      readonly start: number | undefined
      readonly items: readonly (readonly Block[])[]
    }
  | { readonly kind: 'table'; readonly head: readonly Row[]; readonly rows: readonly (readonly Row[])[] }
  | { readonly kind: 'rule' }

type Row = readonly Inline[]

const maxDepth = 12
const fence = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/
const heading = /^ {0,3}(#{1,6})\s+/
const rule = /^ {0,3}(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,})$/
const quote = /^ {0,3}> ?/
const item = /^( {0,3})([-*+]|\d{1,9}[.)])(\s+|$)/
const delimiterRow = /^\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*$/

/**
 * The Markdown that models write, as a tree of plain data: nothing of the text is ever HTML. Every leaf knows where it
 * stands in the source. Time grows with the length, whatever the text.
 */
export function parseMarkdown(
  source: string,
): { readonly block: Block; readonly start: number; readonly end: number }[] {
  let at = 0
  const lines = source.split('\n').map((text) => {
    const line = { text, at }
    at += text.length + 1
    return line
  })
  const parts: { block: Block; start: number; end: number }[] = []
  parseBlocks(lines, 0, (block, first, next) => {
    const last = lines[next - 1]!
    parts.push({ block, start: lines[first]!.at, end: last.at + last.text.length })
  })
  return parts
}

function nested(lines: readonly Line[], depth: number): Block[] {
  const blocks: Block[] = []
  parseBlocks(lines, depth, (block) => blocks.push(block))
  return blocks
}

/** Cuts lines into blocks; `add` gets each with its first line and the one after its last. */
function parseBlocks(
  lines: readonly Line[],
  depth: number,
  add: (block: Block, first: number, next: number) => void,
): void {
  for (let i = 0; i < lines.length;) {
    const { text } = lines[i]!
    if (text.trim() === '') {
      i++
      continue
    }
    const [block, next] = blockAt(lines, i, depth)
    add(block, i, next)
    i = next
  }
}

function blockAt(lines: readonly Line[], i: number, depth: number): [Block, number] {
  const { text } = lines[i]!
  const opening = fence.exec(text)
  if (opening) return codeAt(lines, i, opening[1]!, opening[2]!)
  const marks = heading.exec(text)
  if (marks) {
    const children = parseInline([cut(lines[i]!, marks[0].length, text.replace(/\s+#*\s*$/, '').length)])
    return [{ kind: 'heading', level: marks[1]!.length, children }, i + 1]
  }
  if (rule.test(text)) return [{ kind: 'rule' }, i + 1]
  if (depth < maxDepth) {
    if (quote.test(text)) {
      const end = runEnd(lines, i, (line) => quote.test(line.text))
      const inner = lines.slice(i, end).map((line) => cut(line, quote.exec(line.text)![0].length))
      return [{ kind: 'quote', children: nested(inner, depth + 1) }, end]
    }
    if (item.test(text)) return listAt(lines, i, depth)
  }
  if (text.includes('|') && delimiterRow.test(lines[i + 1]?.text ?? '') && lines[i + 1]!.text.includes('-'))
    return tableAt(lines, i)
  const end = runEnd(lines, i + 1, ({ text }) => text.trim() !== '' && !interrupts(text))
  return [{ kind: 'paragraph', children: parseInline(lines.slice(i, end).map((line) => trimmed(line))) }, end]
}

function interrupts(text: string): boolean {
  return fence.test(text) || heading.test(text) || rule.test(text) || quote.test(text) || item.test(text)
}

/** The index after the last line, from `i` on, for which the condition holds. */
function runEnd(lines: readonly Line[], i: number, holds: (line: Line) => boolean): number {
  let end = i
  while (end < lines.length && holds(lines[end]!)) end++
  return end
}

function cut({ text, at }: Line, start: number, end: number = text.length): Line {
  return { text: text.slice(start, Math.max(start, end)), at: at + start }
}

function trimmed(line: Line): Line {
  const start = line.text.length - line.text.trimStart().length
  return cut(line, start, line.text.trimEnd().length)
}

/** A fence that is not closed, as in a text that still grows, goes to the end. */
function codeAt(lines: readonly Line[], i: number, marks: string, language: string): [Block, number] {
  const isEnd = ({ text }: Line): boolean => {
    const line = text.trim()
    return line.startsWith(marks) && line === marks[0]!.repeat(line.length)
  }
  const end = runEnd(lines, i + 1, (line) => !isEnd(line))
  return [{ kind: 'code', language, lines: lines.slice(i + 1, end) }, Math.min(end + 1, lines.length)]
}

function listAt(lines: readonly Line[], i: number, depth: number): [Block, number] {
  const marker = item.exec(lines[i]!.text)![2]!
  const start = /^\d/.test(marker) ? Number.parseInt(marker, 10) : undefined
  const items: Block[][] = []
  let next = i
  for (;;) {
    const found = next < lines.length ? item.exec(lines[next]!.text) : null
    if (!found || rule.test(lines[next]!.text) || /^\d/.test(found[2]!) !== (start !== undefined)) break
    const indent = found[0].length
    const inner = [cut(lines[next]!, indent)]
    for (next++; next < lines.length; next++) {
      const line = lines[next]!
      const spaces = line.text.length - line.text.trimStart().length
      if (line.text.trim() === '') {
        // an empty line belongs to the item if what follows is indented
        const following = lines[next + 1]?.text ?? ''
        if (!/^\s{2,}\S/.test(following)) break
        inner.push(line)
      } else if (spaces >= Math.min(indent, 2)) inner.push(cut(line, Math.min(spaces, indent)))
      else if (interrupts(line.text) || inner.at(-1)!.text.trim() === '') break
      else inner.push(line)
    }
    items.push(nested(inner, depth + 1))
    // items may stand apart
    if (next + 1 < lines.length && lines[next]!.text.trim() === '' && item.test(lines[next + 1]!.text)) next++
  }
  return [{ kind: 'list', start, items }, next]
}

function tableAt(lines: readonly Line[], i: number): [Block, number] {
  const end = runEnd(lines, i + 2, ({ text }) => text.includes('|'))
  const cells = (line: Line): Row[] => cellsOf(line).map((cell) => parseInline([trimmed(cell)]))
  return [{ kind: 'table', head: cells(lines[i]!), rows: lines.slice(i + 2, end).map(cells) }, end]
}

function cellsOf(line: Line): Line[] {
  const { text } = line
  const bars = [...text.matchAll(/(?<!\\)\|/g)].map(({ index }) => index)
  const first = text.trimStart().startsWith('|') ? bars.shift()! + 1 : 0
  if (bars.at(-1) === text.trimEnd().length - 1) bars.splice(-1, 1, text.length)
  else bars.push(text.length)
  let start = first
  return bars.map((bar) => {
    const cell = cut(
      line,
      start,
      text[bar] === '|' || bar < text.length ? bar : text.trimEnd().replace(/\|$/, '').length,
    )
    start = bar + 1
    return cell
  })
}
