import { expect, test } from 'vitest'
import { stringContents } from './json-string.ts'
import { knownRuns, Loops } from './loops.ts'
import { Places } from './places.ts'
import { toGrammarText, toSource } from './spec.ts'
import { largeTrie } from './token-trie.ts'
import { tokenBytes } from './vocabulary.ts'

const letters = Array.from('abcdefghijklmnopqrstuvwxyz')
const texts = [
  ...letters.flatMap((a) => letters.flatMap((b) => [a + b, ...letters.map((c) => a + b + c)])),
  ...letters,
  ...Array.from('"\\,:{}[] 0123456789é€😀'),
  '",',
  '":',
  'a"',
  'ab",',
  'abc"]',
  '\\n',
  '\\"',
  'a\\',
  '\\u0041b',
  'éa',
  'aé"',
  '"a',
  '"abc',
  '"]',
  'x" ,',
  '""',
]
const bytes = [...texts.map((text) => new TextEncoder().encode(text)), Uint8Array.of(0xc3), Uint8Array.of(0xa9, 0x22)]
const tokens = tokenBytes({ bytes, isSpecial: () => false, size: bytes.length, stopIds: [] })
const idOf = (text: string): number => texts.indexOf(text)

test('the tree is a large one', () => {
  expect(tokens.trie.bytes.length).toBeGreaterThan(largeTrie)
})

test.each([
  [{ type: 'string' }, ['"', 'abc', '\\', 'n', 'é', 'a\\', '"', 'b', '"']],
  [{ type: 'string', minLength: 2, maxLength: 9 }, ['"', 'a', 'abc', '\\', 'n', 'éa']],
  [{ type: 'array', items: { type: 'string', maxLength: 4 }, minItems: 2 }, ['[', '"abc', '"', ',', ' ', '"', 'ab']],
])('in strings of %j a mask has the tokens that can be followed', (json, path) => {
  const loops = new Loops(tokens.trie, knownRuns(stringContents, tokens))
  const rules = toGrammarText(toSource({ json, disableAnyWhitespace: true })).rules!
  const places = new Places(rules, tokens, { loops })
  let place = places.start()!
  let numWide = 0
  for (const text of path) {
    const to = places.follow(place, idOf(text))
    expect(to, text).toBeDefined()
    place = to!
    const next = places.next(place)
    expect(next, text).toBeDefined()
    const mask = next?.state === 'masked' ? next.mask : new Uint32Array(Math.ceil(bytes.length / 32))
    const wrong = bytes.flatMap((_, id) => {
      const isAllowed = ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1
      return isAllowed === (places.follow(place, id) !== undefined) ? [] : [new TextDecoder().decode(bytes[id])]
    })
    expect(wrong, text).toEqual([])
    if (place.numBytes > 32) numWide++
  }
  expect(numWide).toBeGreaterThan(0)
})

test('without what is known of a loop a large tree is not walked', () => {
  const places = new Places(toGrammarText(toSource({ json: { type: 'string' } })).rules!, tokens)
  const inside = places.follow(places.start()!, idOf('"'))!
  expect(places.next(inside)).toBeUndefined()
})

test('runs are forgotten, and found again', () => {
  const small = tokenBytes({ bytes: bytes.slice(0, 9000), isSpecial: () => false, size: 9000, stopIds: [] })
  const loops = new Loops(small.trie)
  const maskOf = (last: string): unknown => {
    const rules = toGrammarText(toSource({ regex: `[a-${last}]{2,30}!` })).rules!
    const places = new Places(rules, small, { loops })
    return places.next(places.start()!)
  }
  const first = maskOf('y')
  for (let round = 0; round < 10; round++)
    for (const last of letters.slice(10))
      for (const from of ['b', 'c']) expect(maskOf(last + from + '-z')).toBeDefined()
  expect(maskOf('y')).toEqual(first)
})
