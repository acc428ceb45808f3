import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { ChatTemplate } from './chat-template.ts'
import type { ChatMessage } from './chat-template.ts'
import { IncrementalDetokenizer, Tokenizer, checkVocabulary } from './tokenizer.ts'

const fixtures = fileURLToPath(new URL('../fixtures/tokenizers/', import.meta.url))

interface Cases {
  vocabSize: number
  texts: { text: string; ids: number[]; idsWithSpecial: number[]; decoded: string; decodedSkipSpecial: string }[]
  chats: { name: string; messages: ChatMessage[]; rendered: string; renderedWithPrompt: string; ids: number[] }[]
}

const cases = JSON.parse(readFileSync(join(fixtures, 'cases.json'), 'utf8')) as Record<string, Cases>
const names = ['byte-bpe', 'llama-bpe']

/** A small generator, so that a failing sequence can be found again. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

describe.each(names)('%s, against the Python library', (name) => {
  const { texts, chats, vocabSize } = cases[name]!

  test('texts', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    expect(tokenizer.vocabSize).toBe(vocabSize)
    for (const { text, ids, idsWithSpecial, decoded, decodedSkipSpecial } of texts) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), text).toEqual(ids)
      expect(tokenizer.encode(text), text).toEqual(idsWithSpecial)
      expect(tokenizer.decode(idsWithSpecial, { skipSpecialTokens: false }), text).toBe(decoded)
      expect(tokenizer.decode(idsWithSpecial), text).toBe(decodedSkipSpecial)
    }
  })

  test('chats', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const template = await ChatTemplate.load(join(fixtures, name))
    for (const { name: chat, messages, rendered, renderedWithPrompt, ids } of chats) {
      expect(template.render(messages, { addGenerationPrompt: false }), chat).toBe(rendered)
      expect(template.render(messages, { addGenerationPrompt: true }), chat).toBe(renderedWithPrompt)
      expect(tokenizer.encode(renderedWithPrompt, { addSpecialTokens: false }), chat).toEqual(ids)
    }
  })

  test('2,000 random sequences come out in pieces as they do at once', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const random = randomNumbers(1)
    for (let round = 0; round < 2000; round++) {
      // some ids are of no token, and a narrow choice makes long runs of bytes
      const below = round % 2 === 0 ? vocabSize + 5 : 262
      const ids = Array.from({ length: random(40) }, () => random(below))
      for (const options of [{}, { skipSpecialTokens: false }, { keepSpecialTokens: ids.slice(0, 3) }]) {
        const detokenizer = new IncrementalDetokenizer(tokenizer, options)
        const pieces = ids.map((id) => detokenizer.push(id))
        const text = pieces.join('') + detokenizer.flush()
        const whole = tokenizer.decode(ids, options)
        if (text !== whole) expect({ ids, text }).toEqual({ ids, text: whole })
        // what is out is a beginning of every longer text, so it never changes
        const known = pieces.slice(0, ids.length >> 1).join('')
        if (!tokenizer.decode(ids.slice(0, ids.length >> 1), options).startsWith(known)) {
          throw new Error(`"${known}" is not a beginning of the text of ${ids.slice(0, ids.length >> 1).join()}`)
        }
      }
    }
  })

  test('some special tokens may stay', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const special = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter((id) => tokenizer.isSpecial(id))
    const [first, second] = special as [number, number]
    expect(tokenizer.decode([first, second])).toBe('')
    expect(tokenizer.decode([first, second], { keepSpecialTokens: [second] })).toBe(tokenizer.idToToken(second))
  })

  test('no piece ends within a character', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const detokenizer = new IncrementalDetokenizer(tokenizer)
    const text = 'Grüße, 世界! 👨‍👩‍👧 नमस्ते \u{1d4b3}'
    const pieces = tokenizer.encode(text).map((id) => detokenizer.push(id))
    pieces.push(detokenizer.flush())
    expect(pieces.join('')).toBe(text)
    for (const piece of pieces) expect(piece).not.toMatch(/[\p{Surrogate}\ufffd]/u)
    // and a second sequence starts afresh
    expect(
      tokenizer
        .encode('two')
        .map((id) => detokenizer.push(id))
        .join('') + detokenizer.flush(),
    ).toBe('two')
  })

  test('a long sequence costs no more per token than a short one', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const detokenizer = new IncrementalDetokenizer(tokenizer)
    const random = randomNumbers(2)
    const start = performance.now()
    for (let i = 0; i < 100_000; i++) detokenizer.push(random(vocabSize))
    detokenizer.flush()
    expect(performance.now() - start).toBeLessThan(5_000)
  })

  test('single tokens', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    const id = tokenizer.tokenToId('<|im_end|>')!
    expect(tokenizer.idToToken(id)).toBe('<|im_end|>')
    expect(tokenizer.isSpecial(id)).toBe(true)
    expect(tokenizer.isSpecial(tokenizer.encode('a', { addSpecialTokens: false })[0]!)).toBe(false)
    expect(tokenizer.tokenToId('no such token')).toBeUndefined()
    for (const none of [-1, 0.5, vocabSize, NaN]) expect(tokenizer.idToToken(none)).toBeUndefined()
    expect(tokenizer.decode([])).toBe('')
    expect(tokenizer.decode([-1, vocabSize + 1])).toBe('')
  })

  test('the vocabulary must fit the model', async () => {
    const tokenizer = await Tokenizer.load(join(fixtures, name))
    checkVocabulary(tokenizer, { vocabSize })
    expect(() => checkVocabulary(tokenizer, { vocabSize: vocabSize - 1 })).toThrow(
      `has token ids up to ${vocabSize - 1}, but the model's vocab_size is ${vocabSize - 1}`,
    )
  })
})

test('bytes that are no UTF-8 come out as in the Rust library', async () => {
  // expected texts: tokenizers 0.23.2, Tokenizer.decode
  const tokenizer = await Tokenizer.load(join(fixtures, 'llama-bpe'))
  const byte = (value: number) => tokenizer.tokenToId(`<0x${value.toString(16).toUpperCase().padStart(2, '0')}>`)!
  expect(tokenizer.decode([0xe4, 0xbd].map(byte))).toBe('\ufffd\ufffd')
  expect(tokenizer.decode([0x41, 0xff].map(byte))).toBe('\ufffd\ufffd')
  expect(tokenizer.decode([0xef, 0xbb, 0xbf, 0x41].map(byte))).toBe('\ufeffA')
  expect(tokenizer.decode([0x20, 0x20, 0x41].map(byte))).toBe(' A')
})

describe('other decoders', () => {
  const vocab = { a: 0, '##b': 1, c: 2, '▁▁d': 3, '▁e': 4, '<0xE2>': 5, 'x ': 6 }
  const make = (decoder: unknown) =>
    new Tokenizer({ model: { type: 'BPE', vocab, merges: [] }, added_tokens: [{ id: 6, content: 'x ' }], decoder })

  const bothWays = (decoder: unknown, ids: number[]) => {
    const tokenizer = make(decoder)
    const text = tokenizer.decode(ids)
    const detokenizer = new IncrementalDetokenizer(tokenizer)
    const pieces = ids.map((id) => detokenizer.push(id))
    expect(pieces.join('') + detokenizer.flush()).toBe(text)
    return text
  }

  test.each([
    [{ type: 'WordPiece', prefix: '##', cleanup: false }, [0, 1, 2], 'ab c'],
    [null, [0, 2], 'a c'],
    [{ type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' }, [3, 4, 3], 'd e  d'],
    [{ type: 'Metaspace', replacement: '▁', prepend_scheme: 'never' }, [3, 4], '  d e'],
    [{ type: 'ByteLevel' }, [0, 6, 2], 'ax c'],
    [{ type: 'ByteFallback' }, [5, 0, 5], '\ufffda\ufffd'],
    [{ type: 'Strip', content: '▁', start: 2, stop: 0 }, [3, 4], 'de'],
    [{ type: 'Strip', content: ' ', start: 0, stop: 1 }, [6, 0], 'xa'],
    [
      { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Strip', content: 'a', start: 3, stop: 0 }] },
      [0, 0, 2, 0],
      'ca',
    ],
    [
      { type: 'Sequence', decoders: [{ type: 'Fuse' }, { type: 'Strip', content: 'a', start: 0, stop: 1 }] },
      [2, 0],
      'c',
    ],
    [{ type: 'Replace', pattern: { Regex: '#+' }, content: '-' }, [1, 0], '-ba'],
    [{ type: 'Replace', pattern: { String: 'c' }, content: '$&' }, [2, 0], '$&a'],
  ])('%j', (decoder, ids, text) => {
    expect(bothWays(decoder, ids)).toBe(text)
  })
})

describe('a tokenizer that cannot be used', () => {
  const root = mkdtempSync(join(tmpdir(), 'slipway-tokenizer-'))
  afterAll(() => rmSync(root, { recursive: true }))

  test('no file', async () => {
    await expect(Tokenizer.load(root)).rejects.toThrow('has no tokenizer.json')
    await expect(Tokenizer.load(root)).rejects.toMatchObject({ kind: 'checkpoint' })
  })

  test.each([
    [{}, '"model.vocab" is missing'],
    [{ model: { vocab: { a: -1 } } }, 'token "a" has the id -1'],
    [{ model: { vocab: { a: '1' } } }, 'token "a" has the id "1"'],
    [{ model: { vocab: {} }, added_tokens: {} }, '"added_tokens" must be a list'],
    [{ model: { vocab: {} }, added_tokens: [{ id: 1 }] }, '"added_tokens" has {"id":1}'],
    [
      { model: { type: 'BPE', vocab: { a: 0 }, merges: [] }, decoder: { type: 'Magic' } },
      'Unknown Decoder type: Magic',
    ],
    [{ model: { type: 'BPE', vocab: { a: 0 } } }, 'cannot be used'],
  ])('%j', async (json, message) => {
    writeFileSync(join(root, 'tokenizer.json'), JSON.stringify(json))
    const error: unknown = await Tokenizer.load(root).catch((error: unknown) => error)
    expect(error).toMatchObject({ kind: 'checkpoint' })
    expect(String(error)).toContain(message)
    rmSync(join(root, 'tokenizer.json'))
  })

  test('a vocabulary that is a list counts by position', () => {
    const tokenizer = new Tokenizer({
      model: {
        type: 'Unigram',
        unk_id: 0,
        vocab: [
          ['<unk>', 0],
          ['a', -1],
        ],
      },
    })
    expect(tokenizer.vocabSize).toBe(2)
  })
})
