import { describe, expect, test } from 'vitest'
import type { Inline } from './markdown-inline.ts'
import { safeAddress } from './markdown-inline.ts'
import { parseMarkdown, type Block } from './markdown.ts'

/** A short form of the tree: `p(text strong(bold))`. */
function show(node: Block | Inline): string {
  switch (node.kind) {
    case 'text':
      return node.text
    case 'break':
      return '⏎'
    case 'rule':
      return 'rule'
    case 'code':
      return 'lines' in node
        ? `code:${node.language}(${node.lines.map(({ text }) => text).join('⏎')})`
        : `c(${node.text})`
    case 'list':
      return `${node.start ?? 'ul'}[${node.items.map((item) => item.map(show).join(';')).join('|')}]`
    case 'table':
      return `table[${[node.head, ...node.rows].map((row) => row.map((cell) => cell.map(show).join('')).join(',')).join('|')}]`
    case 'link':
      return `a<${node.href}>(${node.children.map(show).join('')})`
    default:
      return `${{ paragraph: 'p', heading: 'h', quote: 'q', strong: 'b', em: 'i', del: 'd' }[node.kind]}(${node.children.map(show).join('')})`
  }
}

const shown = (source: string): string =>
  parseMarkdown(source)
    .map(({ block }) => show(block))
    .join(' ')

describe('blocks', () => {
  test.each([
    ['one\ntwo\n\nthree', 'p(one⏎two) p(three)'],
    ['# Title #\ntext', 'h(Title) p(text)'],
    ['```ts\nlet a = 1\n\n  b\n```\nafter', 'code:ts(let a = 1⏎⏎  b) p(after)'],
    ['````\n```\n````', 'code:(```)'],
    ['```js\nnot yet closed', 'code:js(not yet closed)'],
    ['- a\n- b\n  more\n  - c', 'ul[p(a)|p(b⏎more);ul[p(c)]]'],
    ['3. a\n4. b\n\n5. c', '3[p(a)|p(b)|p(c)]'],
    ['1. a\n\n   b\n\nc', '1[p(a);p(b)] p(c)'],
    ['- a\n1. b', 'ul[p(a)] 1[p(b)]'],
    ['> a\n> > b\n\nc', 'q(p(a)q(p(b))) p(c)'],
    ['a\n\n---\n***', 'p(a) rule rule'],
    ['| a | b |\n|---|:-:|\n| 1 | **2** |\n| 3 |\n\nend', 'table[a,b|1,b(2)|3] p(end)'],
    ['a | b\n--|--\n1 | 2', 'table[a,b|1,2]'],
    ['', ''],
  ])('%j', (source, tree) => {
    expect(shown(source)).toBe(tree)
  })
})

describe('marks in a line', () => {
  test.each([
    ['**bold** and *it* and ~~gone~~', 'p(b(bold) and i(it) and d(gone))'],
    ['***both***', 'p(i(b(both)))'],
    ['*a **b** c*', 'p(i(a b(b) c))'],
    ['snake_case_name and _it_', 'p(snake_case_name and i(it))'],
    ['2 * 3 * 4 and 2*3', 'p(2 * 3 * 4 and 2*3)'],
    ['`a*b*` and ``x`y``', 'p(c(a*b*) and c(x`y))'],
    ['an `open tick', 'p(an `open tick)'],
    [String.raw`\*not\* \a`, String.raw`p(*not* \a)`],
    ['see https://example.org/a?b=1.', 'p(see a<https://example.org/a?b=1>(https://example.org/a?b=1).)'],
    ['[the *site*](https://example.org "title")', 'p(a<https://example.org/>(the i(site)))'],
    ['[x](javascript:alert(1))', 'p([x](javascript:alert(1)))'],
    ['<img src=x onerror=alert(1)>', 'p(<img src=x onerror=alert(1)>)'],
    ['a [b] (c) ] [', 'p(a [b] (c) ] [)'],
  ])('%j', (source, tree) => {
    expect(shown(source)).toBe(tree)
  })

  test('addresses that could run something are none', () => {
    for (const bad of [
      'javascript:alert(1)',
      ' JaVaScript:x',
      'data:text/html,x',
      'vbscript:x',
      '//x.org',
      '/x',
      'https://',
    ])
      expect(safeAddress(bad)).toBeUndefined()
    expect(safeAddress('mailto:a@b.org')).toBe('mailto:a@b.org')
  })
})

/** All leaves of a tree with text. */
function leaves(value: unknown): { text: string; at: number }[] {
  if (typeof value !== 'object' || value === null) return []
  if ('text' in value && 'at' in value) return [value as { text: string; at: number }]
  return Object.values(value).flatMap(leaves)
}

test('every leaf stands in the source where it says', () => {
  const source =
    '# A *b*\n\n> - c `d`\n>   e\n\n| f | g |\n|-|-|\n| h | **i** |\n\n  j\n```\nk\n  l\n```\n1. m\n   > n [o](https://p.q)'
  const all = leaves(parseMarkdown(source))
  expect(all.map(({ text }) => text.trim()).join('')).toBe('Abcdefghijklmno')
  for (const { text, at } of all) expect(source.slice(at, at + text.length)).toBe(text)
})

test.each([
  '*',
  '_',
  '**a ',
  '`',
  '[',
  '[a](',
  '> ',
  '- ',
  '~~',
  '|',
  '# ',
  '```',
  '\\',
  'https://',
  '*a_b',
  '\n- a\n',
])('much of %j takes no time', (piece) => {
  const source = piece.repeat(20_000)
  const started = performance.now()
  parseMarkdown(source)
  expect(performance.now() - started).toBeLessThan(8000)
})
