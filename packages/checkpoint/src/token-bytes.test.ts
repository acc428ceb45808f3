import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { bytesOfTokens } from './token-bytes.ts'
import { Tokenizer } from './tokenizer.ts'

test.each(['byte-bpe', 'llama-bpe'])('%s: bytes of tokens in a row are the text that decoding gives', async (name) => {
  const tokenizer = await Tokenizer.load(fileURLToPath(new URL(`../fixtures/tokenizers/${name}`, import.meta.url)))
  const toBytes = tokenizer.bytesById()!
  const text = 'Größe 42 😀\n\t"x" <tool_call> don\'t'
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  // decoding strips the space that sentencepiece puts before a text
  const bytes = Buffer.concat(ids.map((id) => toBytes(id)!)).toString()
  expect(bytes.trimStart()).toBe(tokenizer.decode(ids, { skipSpecialTokens: false }))
  expect(toBytes(1 << 20)).toBeUndefined()
})

const bytesOf = (decoder: unknown, token: string): string =>
  Buffer.from(bytesOfTokens(decoder)!(token)).toString('latin1')

test('sentencepiece: spaces, byte tokens', () => {
  const decoders = [
    { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ]
  const decoder = { type: 'Sequence', decoders }
  expect(bytesOf(decoder, '\u2581a\u2581b')).toBe(' a b')
  expect(bytesOf(decoder, '<0xE9>')).toBe('\xe9')
  expect(bytesOf({ type: 'Metaspace' }, '\u2581x')).toBe(' x')
  expect(bytesOf({ type: 'Metaspace' }, '<0xE9>')).toBe('<0xE9>')
})

test('byte level: letters of its alphabet are bytes, added tokens stand for themselves', () => {
  expect(bytesOf({ type: 'ByteLevel' }, 'Ġaé')).toBe(' a\xe9')
  expect(bytesOf({ type: 'ByteLevel' }, 'two words')).toBe('two words')
})

test('no bytes where tokens depend on neighbours', () => {
  for (const decoder of [{ type: 'WordPiece' }, { type: 'CTC' }, null, { type: 'Sequence', decoders: [null] }])
    expect(bytesOfTokens(decoder)).toBeUndefined()
})
