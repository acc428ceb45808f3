import { expect, test } from 'vitest'
import { emptyHash, hashWith, TextTable } from './text-table.ts'

const hashOf = (key: string): number =>
  Array.from({ length: key.length }, (_, i) => key.charCodeAt(i)).reduce(hashWith, emptyHash)

test('finds what was added, and nothing else, as a Map does', () => {
  const words = Array.from({ length: 500 }, (_, i) => `${(i * 2654435761) % 99991} ${i % 7 ? 'ß' : '世'}${i}`)
  const text = words.join('|')
  const table = new TextTable(text)
  let start = 0
  for (const [i, word] of words.entries()) {
    expect(table.add(hashOf(word), start, start + word.length)).toBe(true)
    start += word.length + 1
    expect(table.size).toBe(i + 1)
  }
  for (const [i, word] of words.entries()) {
    expect(table.find(word)).toBe(i)
    expect(table.keyAt(i)).toBe(word)
    expect(table.find(`${word}!`)).toBeUndefined()
  }
  expect(table.find('')).toBeUndefined()
})

test('takes a key twice neither as one text nor as two parts', () => {
  const text = 'ab c|ab|c|'
  const table = new TextTable(text)
  expect(table.add(hashOf('ab c'), 5, 7, 8, 9)).toBe(true)
  expect(table.find('ab c')).toBe(0)
  expect(table.add(hashOf('ab c'), 0, 4)).toBe(false)
  expect(table.add(hashOf('ab c'), 0, 2, 3, 4)).toBe(false)
  expect(table.find('abc')).toBeUndefined()
  expect(table.find('ab  c')).toBeUndefined()
  expect(table.size).toBe(1)
})
