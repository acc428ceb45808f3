import { miniModelDirectory } from '@slipway/mini'
import { Tokenizer } from '@slipway/checkpoint'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { alt, chars, ref, repeat, seq, text, type Node } from './ast.ts'
import { GrammarCompiler } from './compiler.ts'
import { Matchers, type RemoteMatcher } from './matchers.ts'
import type { Place } from './automaton.ts'
import { Places } from './places.ts'
import { toGrammarText, toSource, type GrammarSpec } from './spec.ts'
import { readVocabulary, tokenBytes, type Vocabulary } from './vocabulary.ts'

const size = 4096
const setup = {
  directory: miniModelDirectory,
  vocabSize: size,
  stopIds: [4030, 4032],
  memoryBytes: 128 * 1024 ** 2,
  maxGrammars: 8,
}
let vocabulary: Vocabulary
let compiler: GrammarCompiler
beforeAll(async () => {
  vocabulary = readVocabulary(await Tokenizer.load(miniModelDirectory), { size, stopIds: setup.stopIds })
  compiler = await GrammarCompiler.create(vocabulary, setup)
})
afterAll(() => expect(compiler.isBroken).toBe(false))

let state = 5
const random = (n: number): number => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) % n

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)
const ids = Array.from({ length: size }, (_, id) => id)
const isSet = (mask: Uint32Array, id: number): boolean => ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1

const person = (name: object): GrammarSpec => ({
  json: {
    type: 'array',
    items: { type: 'object', properties: { name, age: { type: 'integer' } }, required: ['name'] },
    minItems: 100,
  },
})
const specs: readonly GrammarSpec[] = [
  person({ type: 'string' }),
  person({ type: 'string', minLength: 20, maxLength: 60 }),
  { json: { type: 'array', items: { type: 'integer', minimum: -50, maximum: 1234 }, minItems: 3, maxItems: 90 } },
  { json: { type: 'object', properties: { a: { enum: ['x', 1, null] }, b: { type: 'string', format: 'date' } } } },
  {
    json: {
      anyOf: [
        { type: 'string', pattern: '[a-zé]{3,200}' },
        { type: 'number' },
        { type: 'array', items: { $ref: '#' } },
      ],
    },
  },
  { jsonObject: true },
  { regex: '([a-z ]*0)*' },
  { regex: '(a|ab|[b-d]{2,9})*é?x[^x]{30,}' },
  { choice: ['red', 'reddish', 'blue'] },
]

/** Every letter may be the one that the end begins with: too many stacks at each of its places for a walk. */
const crowded = `[!-~]{2,9}(${Array.from('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', (letter) => `${letter}0|${letter}1`).join('|')})`

describe('places against xgrammar', () => {
  test.each([...specs, { regex: crowded }])('%j', (spec) => {
    const places = new Places(toGrammarText(toSource(spec)).rules!, tokenBytes(vocabulary), { stopIds: setup.stopIds })
    const grammar = compiler.compile(toSource(spec))
    const theirs = new Uint32Array(size / 32)
    const count = { known: 0, found: 0, asked: 0 }
    const wrong: unknown[] = []
    for (let walk = 0; walk < 6; walk++) {
      const matcher = grammar.matcher()
      let place = places.start()
      for (let i = 0; i < 40 && place; i++) {
        matcher.fillMask(theirs)
        const isKnown = places.maskOf(place).next !== undefined
        const isEnd = ids.every((id) => !isSet(theirs, id) || setup.stopIds.includes(id))
        const next = places.next(place)
        count[isKnown ? 'known' : next ? 'found' : 'asked']++
        if (next && isEnd !== (next.state === 'complete')) wrong.push(next)
        const ours = next?.state === 'masked' ? next.mask : theirs
        // what was found or learnt here, or where no token can tell the difference, holds; xgrammar leaves out tokens that it accepts
        for (const id of ids) {
          if (isSet(ours, id) === isSet(theirs, id)) continue
          if (isSet(ours, id) && matcher.accept(id)) matcher.rollback(1)
          else wrong.push(id)
        }
        if (!next) places.learn(place, isEnd ? { state: 'complete' } : { state: 'masked', mask: theirs.slice() })
        const allowed = ids.filter((id) => isSet(theirs, id) && !vocabulary.isSpecial(id))
        const tried = Array.from({ length: 20 }, () => random(size)).filter(
          (id) => !vocabulary.isSpecial(id) && (vocabulary.bytes[id]?.length ?? 0) > 0,
        )
        for (const id of tried) if ((places.follow(place, id) !== undefined) !== isSet(ours, id)) wrong.push(id)
        if (allowed.length === 0) break
        const token = allowed[random(allowed.length)]!
        expect(matcher.accept(token)).toBe(true)
        place = places.follow(place, token)
        expect(place).toBeDefined()
      }
      matcher.dispose()
    }
    expect(wrong).toEqual([])
    expect(count.known).toBeGreaterThan(spec.regex === crowded ? 0 : 10)
    if (spec.regex === crowded) expect(count.asked).toBeGreaterThan(3)
    else expect(count).toMatchObject({ found: expect.toSatisfy((found: number) => found > 0), asked: 0 })
  })

  test('a special token is no text', () => {
    const places = new Places(toGrammarText(toSource({ regex: 'a*' })).rules!, tokenBytes(vocabulary))
    expect(places.follow(places.start()!, setup.stopIds[0]!)).toBeUndefined()
    expect(places.follow(places.start()!, size + 5)).toBeUndefined()
  })
})

describe('bounds', () => {
  const letters = tokensOf(['a', 'b', 'ab', 'a'.repeat(300)])
  const of = (root: Node, more: readonly [string, Node][] = []): Places =>
    new Places(new Map([['root', root], ...more]), letters)

  test('a grammar in too many places at once is given up', () => {
    const many = Array.from({ length: 2000 }, (_, i) => seq(text('a'), repeat(chars([97, 98]), i, i)))
    expect(of(alt(...many)).start()).toBeUndefined()
    const later = of(seq(text('b'), alt(...many)))
    expect(later.follow(later.start()!, 1)).toBeUndefined()
    // each letter is little work, the token is not
    const few = Array.from({ length: 40 }, (_, i) => seq(text('a'), repeat(chars([97, 98]), i, 400)))
    const long = of(alt(...few))
    expect(long.follow(long.start()!, 0)).toBeDefined()
    expect(long.follow(long.start()!, 3)).toBeUndefined()
  })

  test('nothing is read for ever: empty turns, rules within rules', () => {
    const nested = of(seq(repeat(alt(text(''), repeat(chars([97, 97]), 0, Infinity)), 3, Infinity), ref('more')), [
      ['more', alt(text('b'), seq(text('ab'), ref('more')))],
    ])
    let place: Place | undefined = nested.start()
    for (const token of [0, 0, 2, 2, 2]) place = place && nested.follow(place, token)
    expect(place).toBeDefined()
    expect(nested.follow(place!, 1)).toBeDefined()
    const end = nested.follow(place!, 1)!
    expect(nested.follow(end, 0)).toBeUndefined()
  })

  test('counts far from their bounds share a mask, near ones do not', () => {
    const short = new Places(new Map([['root', repeat(chars([97, 97]), 10, 20)]]), tokensOf(['a', 'aaa']))
    const masks: unknown[] = []
    let place = short.start()
    for (let i = 0; i <= 20; i++) {
      masks.push(short.maskOf(place!))
      place = short.follow(place!, 0)
    }
    expect(place).toBeUndefined()
    const classes = masks.map((mask) => masks.indexOf(mask))
    expect(classes).toEqual([0, 0, 0, 0, 0, 0, 0, 7, 8, 9, 10, 10, 10, 10, 10, 10, 10, 10, 18, 19, 20])
  })

  test('places and masks are forgotten, and texts go on', () => {
    const many = of(seq(repeat(chars([97, 97]), 5000, 9000), text('b')))
    let place = many.start()!
    for (let i = 0; i < 6000; i++) {
      many.learn(place, { state: 'masked', mask: new Uint32Array(2 ** 14) })
      place = many.follow(place, 0)!
    }
    expect(many.follow(place, 1)).toBeDefined()
  })
})

function tokensOf(texts: readonly string[]): ReturnType<typeof tokenBytes> {
  const bytes = texts.map((one) => new TextEncoder().encode(one))
  return tokenBytes({ bytes, isSpecial: () => false, size: bytes.length, stopIds: [] })
}

describe('matchers that know the place', () => {
  const matchers = new Matchers(setup)
  afterAll(() => matchers.end())
  const settled = async (matcher: RemoteMatcher): Promise<void> => {
    while (!matcher.next && !matcher.error) await matchers.changed(50)
  }
  const begin = async (regex: string): Promise<RemoteMatcher> => {
    const matcher = matchers.open({ source: toSource({ regex }), stopIds: [], after: undefined })
    await settled(matcher)
    return matcher
  }

  test('a mask is asked for once; the thread catches up with what it was not told', async () => {
    // token 0 is "!", and much else may come where it does
    const first = await begin(crowded)
    for (const [i] of [0, 0, 0].entries()) {
      matchers.accept(first, 0)
      expect(first.next, `token ${i}`).toBeUndefined()
      await settled(first)
    }
    const second = await begin(crowded)
    for (let i = 0; i < 3; i++) {
      const known = first.next
      matchers.accept(second, 0)
      expect(second.next?.state).toBe('masked')
      if (i === 2) expect(second.next).toEqual(known)
    }
    const [a, zero] = ['a', '0'].map((text) =>
      vocabulary.bytes.findIndex((bytes) => String(bytes) === String(encode(text))),
    )
    for (const token of [0, 0, 0, 0, 0, 0, a!, zero!]) {
      expect(second.next?.state).toBe('masked')
      matchers.accept(second, token)
      await settled(second)
    }
    expect(second.next?.state).toBe('complete')
    expect(second.error).toBeUndefined()
    for (const matcher of [first, second]) matchers.close(matcher)
  })

  test('where few tokens may come the thread is not asked at all', async () => {
    const matcher = await begin('!!!!a|!{6}')
    for (const state of ['masked', 'masked', 'masked', 'masked', 'masked', 'complete']) {
      matchers.accept(matcher, 0)
      expect(matcher.next?.state).toBe(state)
    }
    matchers.close(matcher)
  })

  test('who waits for a mask gets it without the event loop', async () => {
    const matcher = await begin('[!-~]*')
    const other = matchers.open({ source: toSource({ regex: '[!-~]*a' }), stopIds: [], after: undefined })
    expect(matchers.waitFor([matcher, undefined], 0)).toEqual([])
    expect(matchers.waitFor([other], 10_000)).toEqual([])
    expect(other.next?.state).toBe('masked')
    for (const one of [matcher, other]) matchers.close(one)
  })

  test('a text that the thread has not heard of for long is told to it', async () => {
    const matcher = await begin('[!-~]*')
    let numAsked = 0
    for (let i = 0; i < 600; i++) {
      matchers.accept(matcher, 0)
      if (!matcher.next) numAsked++
      await settled(matcher)
    }
    expect(matcher.error).toBeUndefined()
    expect(numAsked).toBe(2)
    matchers.close(matcher)
  })

  test('a thread that is lost follows all anew', async () => {
    const good = await begin('(!!)*a')
    for (let i = 0; i < 7; i++) {
      matchers.accept(good, 0)
      await settled(good)
    }
    const bad = matchers.open({ source: toSource({ grammar: 'root ::= nowhere' }), stopIds: [], after: undefined })
    await settled(bad)
    expect(bad.error?.message).toContain('nowhere')
    await settled(good)
    const { next } = good
    matchers.accept(good, 0)
    await settled(good)
    matchers.accept(good, 0)
    await settled(good)
    expect(good.next).toEqual(next)
    for (const matcher of [good, bad]) matchers.close(matcher)
  })
})
