import { Tokenizer } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { beforeAll, describe, expect, test } from 'vitest'
import { GrammarCompiler } from './compiler.ts'
import type { ThinkingTags } from './protocol.ts'
import { toSource } from './spec.ts'
import { TriggeredMatcher } from './triggered-matcher.ts'
import { readVocabulary, type Vocabulary } from './vocabulary.ts'

const stop = 4032
let tokenizer: Tokenizer
let vocabulary: Vocabulary
let compiler: GrammarCompiler
beforeAll(async () => {
  tokenizer = await Tokenizer.load(miniModelDirectory)
  vocabulary = readVocabulary(tokenizer, { size: 4096, stopIds: [stop] })
  compiler = await GrammarCompiler.create(vocabulary, { memoryBytes: 512 * 1024 ** 2, maxGrammars: 64 })
})

const ids = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false })

/** Follows a text; which token was refused, if one was, and what may come behind it. */
function follow(text: string, tags: Partial<ThinkingTags> = {}, regex = 'yes|no'): string {
  const thinking = { startIds: ids('<think>'), endIds: ids('</think>'), ...tags }
  const matcher = new TriggeredMatcher(compiler.compile(toSource({ regex })).matcher(), vocabulary, [], { thinking })
  try {
    for (const [i, id] of ids(text).entries()) {
      const next = matcher.next()
      const isMasked = next.state === 'masked' && ((next.mask[id >>> 5]! >>> (id & 31)) & 1) === 0
      expect(matcher.accept(id), `token ${i} of ${text}`).toBe(!isMasked && next.state !== 'complete')
      if (isMasked || next.state === 'complete') return `refuses ${JSON.stringify(tokenizer.decode([id]))}`
    }
    return matcher.next().state
  } finally {
    matcher.dispose()
  }
}

describe('a model that may think', () => {
  test('thinks, or answers at once', () => {
    expect(follow('<think>')).toBe('free')
    expect(follow('<think>Hm, well. </think>')).toBe('masked')
    expect(follow('<think>Hm</think>yes')).toBe('complete')
    expect(follow('yes')).toBe('complete')
    expect(follow('Hm')).toBe('refuses "H"')
    expect(follow('<think>Hm</think>Hm')).toBe('refuses "H"')
  })

  test('line ends behind the thinking belong to no grammar, but not many', () => {
    expect(follow('<think>Hm</think>\n\nno')).toBe('complete')
    expect(follow('<think>Hm</think>\n')).toBe('masked')
    expect(follow('\nno')).toMatch(/^refuses/)
    // where the grammar reads them they are its own
    expect(follow('<think>Hm</think>\n\nno', {}, '\\n\\nno')).toBe('complete')
  })

  test('a prompt that opens the thinking, or closes it', () => {
    expect(follow('Hm', { isOpen: true })).toBe('free')
    expect(follow('Hm</think>yes', { isOpen: true })).toBe('complete')
    expect(follow('yes', { isOpen: false })).toBe('complete')
    expect(follow('<think>', { isOpen: false })).toMatch(/^refuses/)
  })

  test('tags of several tokens', () => {
    const tags = { startIds: ids('(plan)'), endIds: ids('(done)') }
    expect(tags.startIds.length).toBeGreaterThan(1)
    expect(follow('(plan) any (done)yes', tags)).toBe('complete')
    expect(follow('no', tags)).toBe('complete')
    // once begun the tag goes on, unless the grammar can begin so too
    expect(follow('(no', tags)).toMatch(/^refuses/)
    expect(follow('(no', tags, '\\(no')).toBe('complete')
  })
})

test('special tokens are text where they are said to be', async () => {
  const marker = '<|im_start|>'
  const id = tokenizer.tokenToId(marker)!
  const isAllowed = (own: GrammarCompiler): boolean => {
    const matcher = own.compile(toSource({ choice: [`${marker}a`] })).matcher()
    const mask = new Uint32Array(4096 / 32)
    matcher.fillMask(mask)
    matcher.dispose()
    return ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1
  }
  const withMarker = readVocabulary(tokenizer, { size: 4096, stopIds: [stop], textIds: [id] })
  expect(isAllowed(compiler)).toBe(false)
  expect(isAllowed(await GrammarCompiler.create(withMarker, { memoryBytes: 512 * 1024 ** 2, maxGrammars: 2 }))).toBe(
    true,
  )
})
