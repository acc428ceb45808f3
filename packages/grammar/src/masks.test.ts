import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { GrammarCompiler } from './compiler.ts'
import { maxCodePoint } from './ast.ts'
import { toSource, type GrammarSpec } from './spec.ts'
import type { Vocabulary } from './vocabulary.ts'

// Masks against brute force: a token may come if and only if the text with it begins some accepted text.

const letters = ['a', 'b', '0', '-']
const tokens = ['', ...letters, 'ab', 'ba', 'aa', '00', 'a0', '0-', '-0', 'abab', 'b0-']
const stop = tokens.length
const encoder = new TextEncoder()
const vocabulary: Vocabulary = {
  // the empty one is a control token, and the id behind the stop token belongs to no token
  bytes: [...tokens.map((token) => encoder.encode(token)), encoder.encode('<end>')],
  isSpecial: (id) => id === 0 || id === stop,
  size: stop + 2,
  stopIds: [stop],
}
const limits = { memoryBytes: 128 * 1024 ** 2, maxGrammars: 4 }
const longest = 8

let compiler: GrammarCompiler
beforeAll(async () => {
  compiler = await GrammarCompiler.create(vocabulary, limits)
})
afterAll(() => expect(compiler.isBroken).toBe(false))

/** Every beginning of an accepted text of at most `longest` letters, and the accepted texts themselves. */
function enumerate(accepts: (text: string) => boolean): { prefixes: Set<string>; texts: Set<string> } {
  const prefixes = new Set<string>()
  const texts = new Set<string>()
  const visit = (text: string): boolean => {
    let isPrefix = accepts(text)
    if (isPrefix) texts.add(text)
    if (text.length < longest) for (const letter of letters) isPrefix = visit(text + letter) || isPrefix
    if (isPrefix) prefixes.add(text)
    return isPrefix
  }
  visit('')
  return { prefixes, texts }
}

/** Walks all texts of up to three letters by tokens, comparing every mask. */
function compare(
  spec: GrammarSpec,
  accepts: (text: string) => boolean,
  { prefixes, texts }: { prefixes: { has(text: string): boolean }; texts: { has(text: string): boolean } } = enumerate(
    accepts,
  ),
): void {
  const matcher = compiler.compile(toSource(spec)).matcher()
  const mask = new Uint32Array(1)
  const visit = (text: string): void => {
    matcher.fillMask(mask)
    const word = mask[0]!
    for (let id = 0; id < vocabulary.size; id++) {
      const isSet = ((word >>> id) & 1) === 1
      const next = text + (tokens[id] ?? '')
      const expected = id === stop ? texts.has(text) : id > 0 && id < stop && prefixes.has(next)
      expect(isSet, `${JSON.stringify(spec)}: ${JSON.stringify(tokens[id] ?? id)} after ${JSON.stringify(text)}`).toBe(
        expected,
      )
      if (!isSet || id === stop || next.length > 3) continue
      expect(matcher.accept(id)).toBe(true)
      visit(next)
      matcher.rollback(1)
    }
  }
  visit('')
  matcher.dispose()
}

describe('masks are those of brute force', () => {
  test.each([
    'a*b',
    '(ab|ba){2,3}',
    '-?(0|a[0a]{0,2})',
    '[^ab]*b?',
    '(a|aa|ab)*-',
    'a{3}',
    '(a(b(0)?)?)?',
    '(-|0-|00)?b+a?',
  ])('regex %s', (regex) => {
    const expression = new RegExp(`^(?:${regex})$`)
    compare({ regex }, (text) => expression.test(text))
  })

  test('random expressions', () => {
    let state = 17
    const random = (n: number): number => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) % n
    const make = (depth: number): string => {
      const kind = random(depth > 2 ? 3 : 7)
      if (kind < 2) return letters[random(4)]!
      if (kind === 2) return ['[ab]', '[^a]', '[0-9]', '\\w'][random(4)]!
      if (kind < 5) return make(depth + 1) + make(depth + 1)
      if (kind === 5) return `(${make(depth + 1)}|${make(depth + 1)})`
      return `(${make(depth + 1)})${['*', '?', '{1,2}'][random(3)]}`
    }
    for (let i = 0; i < 60; i++) {
      const regex = make(0)
      // a text of the longest length may only be a beginning: leave out what could need more letters
      const expression = new RegExp(`^(?:${regex})$`)
      compare({ regex }, (text) => expression.test(text))
    }
  })

  test('choices that begin alike', () => {
    const choice = ['a', 'ab', 'abab', 'b0-0', '-']
    compare({ choice }, (text) => choice.includes(text))
  })

  test('a grammar that counts brackets', () => {
    // too long for enumeration: what it accepts is known
    const count = (text: string, letter: string): number => text.split(letter).length - 1
    const isPrefix = (text: string): boolean => /^a*(0b*)?$/.test(text) && count(text, 'b') <= count(text, 'a')
    const accepts = (text: string): boolean =>
      isPrefix(text) && text.includes('0') && count(text, 'b') === count(text, 'a')
    compare({ grammar: 'root ::= "a" root "b" | "0"' }, accepts, {
      prefixes: { has: isPrefix },
      texts: { has: accepts },
    })
  })
})

test('a matcher goes back, forks, and ends with a stop token', () => {
  const matcher = compiler.compile(toSource({ regex: 'ab(0|-)' })).matcher()
  const mask = new Uint32Array(1)
  const allowed = (): string[] => {
    expect(matcher.fillMask(mask)).toBe(true)
    return [...tokens, '<end>'].filter((_, id) => (mask[0]! >>> id) & 1)
  }
  expect(matcher.accept(tokens.indexOf('b'))).toBe(false)
  expect(matcher.accept(tokens.indexOf('ab'))).toBe(true)
  const fork = matcher.fork()
  expect(allowed()).toEqual(['0', '-'])
  expect(matcher.accept(tokens.indexOf('0'))).toBe(true)
  expect(allowed()).toEqual(['<end>'])
  matcher.rollback(2)
  expect(allowed()).toEqual(['a', 'ab'])
  expect(fork.accept(tokens.indexOf('-'))).toBe(true)
  expect(fork.accept(stop)).toBe(true)
  expect(fork.isTerminated()).toBe(true)
  fork.fillMask(mask)
  expect(mask[0]).toBe(0)
  expect(fork.accept(1)).toBe(false)
  expect(fork.acceptText('a')).toBe(false)
  expect(fork.accept(9999)).toBe(false)
  expect(() => matcher.rollback(7)).toThrow('rollback by 7')
  expect(() => matcher.fillMask(new Uint32Array(3))).toThrow('a mask of 3 words')
})

test('a vocabulary without stop tokens: where the text has to end, nothing may come', async () => {
  const own = await GrammarCompiler.create({ ...vocabulary, stopIds: [] }, limits)
  const matcher = own.compile(toSource({ choice: ['ab'] })).matcher()
  const mask = new Uint32Array(1)
  expect(matcher.fillMask(mask)).toBe(true)
  expect(matcher.accept(tokens.indexOf('ab'))).toBe(true)
  matcher.fillMask(mask)
  expect(mask[0]).toBe(0)
  matcher.dispose()
})

describe('classes of characters, over all of Unicode', () => {
  test.each([
    '[^"\\\\]',
    '[à-ÿ]',
    '\\s',
    '\\S',
    '[\\u4e00-\\u9fff]',
    '.',
    '[^a-z\\u0800-\\u0fff😀]',
    '[\\u{10000}-\\u{10ffff}]',
    'é',
  ])('%s', (regex) => {
    const matcher = compiler.compile(toSource({ regex })).matcher()
    const expression = new RegExp(`^${regex}$`, 'u')
    const wrong: string[] = []
    for (let code = 0; code <= maxCodePoint; code += code < 0x3100 || code > 0x10fff0 ? 1 : 41) {
      if (code >= 0xd800 && code < 0xe000) continue
      const char = String.fromCodePoint(code)
      const isAccepted = matcher.acceptText(char)
      if (isAccepted) matcher.rollback(1)
      if (isAccepted !== expression.test(char)) wrong.push(code.toString(16))
    }
    expect(wrong).toEqual([])
  })
})

test('after a fault the compiler is broken, and says why', async () => {
  const own = await GrammarCompiler.create(vocabulary, limits)
  expect(() => own.compile(toSource({ grammar: 'root ::= nowhere' }))).toThrow('Rule "nowhere" is not defined')
  expect(own.isBroken).toBe(true)
  expect(() => own.compile(toSource({ choice: ['a'] }))).toThrow('has ended')
})

test.each([
  [0, 0],
  [0, 1],
  [3, 3],
  [2, 19],
  [16, 16],
  [20, 60],
  [33, 70],
  [0, 48],
  [17, Infinity],
])('strings of %s to %s characters, by tokens that hold several of them', async (min, max) => {
  // characters of each token and whether the string ends with it; a first byte counts as the character that it begins
  const pieces: [Uint8Array, number, boolean][] = [
    [encoder.encode('é').subarray(0, 1), 1, false],
    ...['', 'a', 'é', '\\n', 'aé', 'ab"', 'a😀b\\"c', 'abcdefghij', '"', '\\"', 'abcdefghijklmnopqrst"'].map(
      (text): [Uint8Array, number, boolean] => {
        const inside = text.replace(/(?<!\\)"$/, '')
        return [encoder.encode(text), Array.from(inside.replaceAll(/\\./g, '.')).length, inside !== text]
      },
    ),
  ]
  const stop = pieces.length
  const own = await GrammarCompiler.create(
    {
      bytes: [...pieces.map(([bytes]) => bytes), encoder.encode('<end>')],
      isSpecial: (id) => id === stop,
      size: stop + 1,
      stopIds: [stop],
    },
    limits,
  )
  const json = { type: 'string', minLength: min, ...(max < Infinity && { maxLength: max }) }
  const matcher = own.compile(toSource({ json })).matcher()
  expect(matcher.acceptText('"')).toBe(true)
  const mask = new Uint32Array(1)
  const letters = ['a', 'é', '\\"', '😀', 'b']
  for (let length = 0; length <= Math.min(max, 90); length++) {
    matcher.fillMask(mask)
    const expected = pieces.map(([bytes, count, isEnd]) => {
      const total = length + count
      return bytes.length > 0 && total <= max && (!isEnd || total >= min)
    })
    expect(pieces.map((_, id) => ((mask[0]! >>> id) & 1) === 1)).toEqual(expected)
    expect(matcher.acceptText(letters[length % letters.length]!)).toBe(length < max)
  }
  matcher.dispose()
})

test('memory is bounded', async () => {
  const own = await GrammarCompiler.create(vocabulary, { memoryBytes: 17 * 1024 ** 2, maxGrammars: 4 })
  const rules = Array.from({ length: 5000 }, (_, i) => `r${i} ::= [a-z]{1,9} "${i}" [0-9]{2,5}`)
  const grammar = `root ::= ${rules.map((_, i) => `r${i}`).join(' | ')}\n${rules.join('\n')}`
  expect(() => own.compile(toSource({ grammar }))).toThrow(/too large or too deep/)
  expect(own.memoryBytes).toBeLessThanOrEqual(17 * 1024 ** 2)
})

test('grammars are kept, the oldest ones go', () => {
  const compile = (i: number): object => compiler.compile(toSource({ regex: `a{${i}}` }))
  const first = compile(1)
  expect(compile(1)).toBe(first)
  for (let i = 2; i < 7; i++) compile(i)
  expect(compile(1)).not.toBe(first)
})
