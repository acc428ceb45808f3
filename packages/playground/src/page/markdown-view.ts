import { h } from './dom.ts'
import type { Block, Line } from './markdown.ts'
import { parseMarkdown } from './markdown.ts'
import type { Inline } from './markdown-inline.ts'
import { spansWithin, type TokenSpan } from './token-spans.ts'

/** Shows a text that grows: of its blocks only those that have changed are made anew. */
export class MarkdownView {
  readonly element: HTMLElement
  #blocks: { key: string; node: Node }[] = []

  constructor(element: HTMLElement) {
    this.element = element
  }

  /** `levelOf` says how probable the tokens of a span were, 0 (unlikely) to 4. */
  update(source: string, spans: readonly TokenSpan[], levelOf: (span: TokenSpan) => number): void {
    const render = new Renderer(spans, levelOf)
    const next = parseMarkdown(source).map(({ block, start, end }, i) => {
      const within = spansWithin(spans, start, end)
      const key = `${within.length} ${within[0]?.from} ${start} ${source.slice(start, end)}`
      const before = this.#blocks[i]
      if (before?.key === key) return before
      const node = render.block(block)
      if (before) this.element.replaceChild(node, before.node)
      else this.element.append(node)
      return { key, node }
    })
    for (const { node } of this.#blocks.slice(next.length)) this.element.removeChild(node)
    this.#blocks = next
  }
}

class Renderer {
  readonly #spans: readonly TokenSpan[]
  readonly #levelOf: (span: TokenSpan) => number

  constructor(spans: readonly TokenSpan[], levelOf: (span: TokenSpan) => number) {
    this.#spans = spans
    this.#levelOf = levelOf
  }

  block(block: Block): HTMLElement {
    switch (block.kind) {
      case 'paragraph':
        return h('p', {}, ...this.#inlines(block.children))
      case 'heading':
        // below the headings of the page itself
        return h(
          'p',
          { role: 'heading', 'aria-level': block.level + 2, class: `h${block.level}` },
          ...this.#inlines(block.children),
        )
      case 'rule':
        return h('hr')
      case 'quote':
        return h('blockquote', {}, ...block.children.map((child) => this.block(child)))
      case 'code':
        return this.#code(block.language, block.lines)
      case 'list': {
        const items = block.items.map((item) => h('li', {}, ...this.#item(item)))
        return block.start === undefined ? h('ul', {}, ...items) : h('ol', { start: block.start }, ...items)
      }
      case 'table': {
        const row = (cells: readonly (readonly Inline[])[], name: 'th' | 'td'): HTMLElement =>
          h('tr', {}, ...cells.map((cell) => h(name, {}, ...this.#inlines(cell))))
        const head = h('thead', {}, row(block.head, 'th'))
        const body = h('tbody', {}, ...block.rows.map((cells) => row(cells, 'td')))
        return h(
          'div',
          { class: 'table', tabindex: 0, role: 'region', 'aria-label': 'table' },
          h('table', {}, head, body),
        )
      }
    }
  }

  /** An item of one paragraph needs no space around it. */
  #item(blocks: readonly Block[]): Node[] {
    return blocks.flatMap((block, i) =>
      block.kind === 'paragraph' && i === 0 ? this.#inlines(block.children) : [this.block(block)],
    )
  }

  #code(language: string, lines: readonly Line[]): HTMLElement {
    const text = lines.map((line) => line.text).join('\n')
    const copy = h('button', { type: 'button', class: 'ghost copy', onclick: () => void copyText(text, copy) }, 'Copy')
    const leaves = lines.flatMap(({ text, at }, i) => [
      ...this.#leaf(text, at),
      ...(i < lines.length - 1 ? ['\n'] : []),
    ])
    return h(
      'div',
      { class: 'code' },
      h('div', { class: 'code-head' }, h('span', {}, language === '' ? 'text' : language), copy),
      h('pre', { tabindex: 0 }, h('code', {}, ...leaves)),
    )
  }

  #inlines(nodes: readonly Inline[]): Node[] {
    return nodes.flatMap((node): Node[] => {
      switch (node.kind) {
        case 'break':
          return [h('br')]
        case 'text':
          return this.#leaf(node.text, node.at).map((part) => (typeof part === 'string' ? new Text(part) : part))
        case 'code':
          return [h('code', {}, ...this.#leaf(node.text, node.at))]
        case 'link':
          return [
            h(
              'a',
              { href: node.href, target: '_blank', rel: 'noopener noreferrer nofollow' },
              ...this.#inlines(node.children),
            ),
          ]
        default:
          return [h(node.kind, {}, ...this.#inlines(node.children))]
      }
    })
  }

  /** A text, cut where its tokens begin. */
  #leaf(text: string, at: number): (Node | string)[] {
    const parts: (Node | string)[] = []
    let done = 0
    for (const span of spansWithin(this.#spans, at, at + text.length)) {
      const start = Math.max(0, span.start - at)
      const end = Math.min(text.length, span.end - at)
      if (start > done) parts.push(text.slice(done, start))
      parts.push(tokenSpan(text.slice(start, end), span, this.#levelOf(span)))
      done = end
    }
    if (done < text.length) parts.push(text.slice(done))
    return parts
  }
}

function tokenSpan(text: string, { from, to }: TokenSpan, level: number): HTMLElement {
  return h('span', { class: `token p${level}`, 'data-from': from, 'data-to': to }, text)
}

/** Puts a text into the clipboard and says so on the button for a moment. */
export async function copyText(text: string, button: HTMLElement): Promise<void> {
  const label = button.textContent
  const done = await navigator.clipboard.writeText(text).then(
    () => true,
    () => false,
  )
  button.textContent = done ? 'Copied' : 'No access'
  setTimeout(() => (button.textContent = label), 1200)
}
