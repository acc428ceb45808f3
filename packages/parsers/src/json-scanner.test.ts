import { expect, test } from 'vitest'
import { leadingJson, scanJson } from './json-scanner.ts'
import { newRandom } from './testing/random.ts'

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('what JSON.parse takes, and nothing else', () => {
  const random = newRandom(1)
  const sample = '{"a": [1, -0.5e+3, "x\\u00e9\\n\\"", {}, [], null], "b": {"c": true, "": false}, "d": 0}'
  const marks = [...'{}[]",:-+.eE0127 \\untf', 'null', 'true', '\\u']
  let valid = 0
  for (let i = 0; i < 20_000; i++) {
    // numbers and words alone end only with the letter after them
    const text = `[${random.mutate(sample, marks)}]`
    const isValid = isJson(text)
    if (isValid) valid++
    if ((scanJson(text) === text) !== isValid) expect.unreachable(`${text} should be ${isValid ? 'JSON' : 'refused'}`)
  }
  expect(valid).toBeGreaterThan(100)
})

test('control characters in strings are mended, deep values refused', () => {
  expect(scanJson('"a\nb\u0001"')).toBe('"a\\nb\\u0001"')
  expect(scanJson('{"a\tb":\n1}')).toBe('{"a\\tb":\n1}')
  expect(scanJson('['.repeat(256) + ']'.repeat(256))).toHaveLength(512)
  expect(scanJson('['.repeat(257) + ']'.repeat(257))).toBeUndefined()
})

test('the value at the beginning of a text', () => {
  expect(leadingJson('{"a": 1} and more')).toBe('{"a": 1}')
  expect(leadingJson('12, 13')).toBe('12')
  expect(leadingJson('{"a": 1')).toBeUndefined()
  expect(leadingJson('{a')).toBeUndefined()
})
