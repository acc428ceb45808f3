import { Tokenizer } from '@slipway/checkpoint'
import { beforeAll, describe, expect, test } from 'vitest'
import { fixture } from '../testing/pooling-fixtures.ts'
import { truncate } from './truncate.ts'

const [cls, sep] = [2, 3]
const text = Array.from({ length: 10 }, (_, i) => 20 + i)

let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await Tokenizer.load(fixture('bert-embed'))
})

const cut = (ids: readonly number[], length: number, side: 'left' | 'right') =>
  truncate({ ids: [...ids], typeIds: ids.map((_, i) => i % 2) }, length, side, tokenizer)

describe('a text with special tokens at its ends', () => {
  const whole = [cls, ...text, sep]
  test.each<[number, 'left' | 'right', number[]]>([
    [12, 'right', whole],
    [20, 'left', whole],
    [6, 'right', [cls, 20, 21, 22, 23, sep]],
    [6, 'left', [cls, 26, 27, 28, 29, sep]],
    [2, 'right', [cls, sep]],
    [2, 'left', [cls, sep]],
    [1, 'right', [cls]],
    [1, 'left', [sep]],
  ])('to %i tokens, %s', (length, side, expected) => {
    const { ids, typeIds } = cut(whole, length, side)
    expect(ids).toEqual(expected)
    // types stay with their tokens
    expect(typeIds).toEqual(ids.map((id) => whole.indexOf(id) % 2))
  })
})

test('plain text, a pair, and nothing but special tokens', () => {
  expect(cut(text, 3, 'right').ids).toEqual([20, 21, 22])
  expect(cut(text, 3, 'left').ids).toEqual([27, 28, 29])
  expect(cut([cls, 20, sep, 21, 22, 23, sep], 5, 'right').ids).toEqual([cls, 20, sep, 21, sep])
  expect(cut([cls, sep, sep], 2, 'right').ids).toHaveLength(2)
  expect(cut([cls, sep, sep], 2, 'left').ids).toHaveLength(2)
})
