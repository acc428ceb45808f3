import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it, test } from 'vitest'
import { readBpe } from './bpe-tables.ts'
import type { JsonObject } from './json-file.ts'
import { Tokenizer } from './tokenizer.ts'

const fixtures = fileURLToPath(new URL('../fixtures/tokenizers/', import.meta.url))
const read = (name: string): string => readFileSync(`${fixtures}${name}/tokenizer.json`, 'utf8')

interface BpeJson extends JsonObject {
  model: { vocab: Record<string, number>; merges: (string | [string, string])[] }
}

/** Every form in which the same tokenizer may be written. */
function formsOf(text: string): [string, string][] {
  const json = JSON.parse(text) as BpeJson
  const pairs = json.model.merges.map((merge) => (typeof merge === 'string' ? merge.split(' ') : merge))
  const { vocab, ...first } = json.model
  const withMerges = (merges: unknown): unknown => ({ ...json, model: { ...json.model, merges } })
  const ascii = (value: unknown): string =>
    JSON.stringify(value).replace(/[^\0-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)
  return [
    ['as it is', text],
    ['merges as texts', JSON.stringify(withMerges(pairs.map((pair) => pair.join(' '))))],
    ['merges as pairs, indented', JSON.stringify(withMerges(pairs), null, 2)],
    ['in ASCII with escapes', ascii(json)],
    ['merges before the vocabulary', JSON.stringify({ ...json, model: { ...first, vocab } })],
  ]
}

const texts = ['Hello, "world"\\ \n 12 + 30?', 'Grüße, 世界! 👨‍👩‍👧', "it's\tdone   now", '', '\u0001 {"vocab": {']

describe.each(['byte-bpe', 'llama-bpe'])('%s', (name) => {
  const slow = new Tokenizer(JSON.parse(read(name)) as JsonObject)

  test.each(formsOf(read(name)))('gives what JSON.parse and the library make of it: %s', (form, text) => {
    const bpe = readBpe(text)
    // tables the other way round are left to JSON.parse
    if (form.includes('before')) return expect(bpe).toBeUndefined()
    const fast = new Tokenizer(bpe!.json, {}, 'tokenizer.json', bpe!.tables)
    expect(fast.vocabSize).toBe(slow.vocabSize)
    for (let id = 0; id < slow.vocabSize + 2; id++) {
      expect(fast.idToToken(id)).toBe(slow.idToToken(id))
      expect(fast.isSpecial(id)).toBe(slow.isSpecial(id))
    }
    for (const sample of texts) {
      const ids = slow.encode(sample)
      expect(fast.encode(sample)).toEqual(ids)
      expect(fast.decode(ids)).toBe(slow.decode(ids))
    }
  })
})

describe('leaves to JSON.parse', () => {
  const model = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: ['a b'] }
  const cases: [string, unknown][] = [
    ['another model', { model: { ...model, type: 'WordPiece' } }],
    ['no type', { model: { ...model, type: undefined } }],
    ['ids that are no whole numbers', { model: { ...model, vocab: { a: 1.5 } } }],
    ['negative ids', { model: { ...model, vocab: { a: -1 } } }],
    ['ids that are too large', { model: { ...model, vocab: { a: 12345678901 } } }],
    ['a list with great holes', { model: { ...model, vocab: { a: 123456789 } } }],
    ['a vocabulary that is a list', { model: { ...model, vocab: [['a', 0.5]] } }],
    ['merges of three', { model: { ...model, merges: ['a b c'] } }],
    ['merges of one', { model: { ...model, merges: ['ab'] } }],
    ['pairs with spaces', { model: { ...model, merges: [['a ', 'b']] } }],
    ['merges that are numbers', { model: { ...model, merges: [1] } }],
    ['tables in another place', { ...model, model: { ...model } }],
    ['no tables', { model: { type: 'BPE' } }],
  ]
  it.each(cases)('%s', (_, json) => expect(readBpe(JSON.stringify(json))).toBeUndefined())

  const whole = JSON.stringify({ model })
  it('text that is cut anywhere', () => {
    expect(readBpe(whole)?.tables.vocab.list()).toEqual(['a', 'b', 'ab'])
    expect(readBpe(whole)?.tables.ranks.get('["a","b"]')).toBe(0)
    expect(readBpe(whole)?.tables.ranks.get('["b","a"]')).toBeUndefined()
    for (let end = 0; end < whole.length; end++) expect(readBpe(whole.slice(0, end))).toBeUndefined()
  })
})
