import { expect, test } from 'vitest'
import type { TokenEntry } from './api.ts'
import { spansWithin, tokenSpans } from './token-spans.ts'

const entry = (token: string): TokenEntry => ({
  token,
  logprob: -1,
  bytes: token.includes('\ufffd') ? null : [...new TextEncoder().encode(token)],
  top_logprobs: [],
})

/** Each piece of the text with the tokens that made it. */
function pieces(tokens: string[], text: string, from = 0): string[] {
  const { spans } = tokenSpans(tokens.map(entry), text, from)
  return spans.map(({ start, end, from, to }) => `${text.slice(start, end)}:${from}-${to}`)
}

test('tokens and the text they make', () => {
  expect(pieces(['Hel', 'lo', ' world'], 'Hello world')).toEqual(['Hel:0-1', 'lo:1-2', ' world:2-3'])
})

test('marks are passed over, and the content begins behind the reasoning', () => {
  const tokens = ['<think>', '\n', 'so', ' 4', '\n', '</think>', '\n\n', 'Four', '<|im_end|>'].map(entry)
  const thought = tokenSpans(tokens, 'so 4', 0)
  expect(thought.spans.map(({ from }) => from)).toEqual([2, 3])
  const said = tokenSpans(tokens, 'Four', thought.next)
  expect(said.spans).toEqual([{ start: 0, end: 4, from: 7, to: 8 }])
})

test('tokens that are parts of a character share it', () => {
  expect(pieces(['a', '\ufffd', '\ufffd', ' b'], 'a€ b')).toEqual(['a:0-1', '€:1-3', ' b:3-4'])
  expect(pieces(['a', '\ufffd', '\ufffd'], 'a😀')).toEqual(['a:0-1', '😀:1-3'])
})

test('a text that ends within a token, and one that is not of the tokens', () => {
  expect(pieces(['one', ' two'], 'one tw')).toEqual(['one:0-1', ' tw:1-2'])
  expect(pieces(['one'], 'else')).toEqual([])
})

test('those within a stretch', () => {
  const { spans } = tokenSpans(['ab', 'cd', 'ef', 'gh'].map(entry), 'abcdefgh', 0)
  const within = (start: number, end: number): number[] => spansWithin(spans, start, end).map(({ from }) => from)
  expect(within(0, 8)).toEqual([0, 1, 2, 3])
  expect(within(2, 4)).toEqual([1])
  expect(within(3, 5)).toEqual([1, 2])
  expect(within(8, 9)).toEqual([])
})
