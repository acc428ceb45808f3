import { describe, expect, test } from 'vitest'
import { parseJson } from './json-body.ts'
import { findExcess, jsonFaultAt, maxJsonDepth, maxJsonParts } from './json-text.ts'

// `^` marks the place of the fault
const broken = [
  '^',
  '  ^',
  '{"a": ^x}',
  '{"a": 1^',
  '{"a": 1,^}',
  '{^a: 1}',
  '{"a" ^1}',
  '{"a":^}',
  '{^1: 2}',
  '[1, 2^',
  '[1 ^2]',
  '[1,^]',
  '[^,1]',
  '[1^}',
  '{"a": [1^}',
  '{"a": 1} ^x',
  '^}',
  '"abc^',
  '"a^\\',
  '"a^\\x"',
  '"a^\\u12g4"',
  '"a^\tb"',
  '[0^1]',
  '[^.5]',
  '[1^.]',
  '[1^e]',
  '[^tru',
  '[^nul]',
  '^NaN',
  "^'a'",
  '[1, ^// no\n]',
]

describe('jsonFaultAt', () => {
  test.each(broken)('%s', (marked) => {
    const text = marked.replace('^', '')
    expect(() => JSON.parse(text)).toThrow()
    expect(jsonFaultAt(text)).toBe(marked.indexOf('^'))
  })

  test('everything before the fault could still have become JSON', () => {
    const valid = '{"a": [1, -2.5e3, "x\\n\\u00e9", true], "b": {"c": null, "d": {}}, "e": []}'
    expect(jsonFaultAt(valid)).toBe(valid.length)
    for (let i = 0; i < valid.length; i++)
      for (const inserted of ['', '"', ',', '}', ']', ':', 'x', '\\', '\n', '0']) {
        const text = valid.slice(0, i) + inserted + valid.slice(i + 1)
        if (isJson(text)) continue
        const at = jsonFaultAt(text)
        expect(jsonFaultAt(text.slice(0, at))).toBe(at)
      }
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('findExcess', () => {
  test('counts brackets and keys outside strings', () => {
    expect(findExcess('['.repeat(maxJsonDepth) + ']'.repeat(maxJsonDepth))).toBeUndefined()
    expect(findExcess('['.repeat(maxJsonDepth + 1))).toEqual({
      at: maxJsonDepth,
      reason: 'nests deeper than 64 levels',
    })
    expect(findExcess(JSON.stringify({ text: '[{"\\:'.repeat(100_000) }))).toBeUndefined()
    expect(findExcess('[],'.repeat(maxJsonParts))).toBeUndefined()
    expect(findExcess('[],'.repeat(maxJsonParts + 1))).toMatchObject({ at: 3 * maxJsonParts })
    expect(findExcess(`{${'"a":1,'.repeat(maxJsonParts)}`)).toMatchObject({
      reason: 'has more than 200000 arrays, objects and keys',
    })
  })

  test('a bomb of millions of brackets is cheap', () => {
    const started = performance.now()
    expect(() => parseJson('{"a":'.repeat(2_000_000))).toThrow('nests deeper than 64 levels at position')
    expect(() => parseJson('[[1],'.repeat(10) + '[],'.repeat(2_000_000))).toThrow('has more than 200000')
    expect(performance.now() - started).toBeLessThan(2000)
  })
})
