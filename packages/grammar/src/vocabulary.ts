import type { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { buildTrie, type TokenBytes } from './token-trie.ts'

/** The bytes of all tokens, as a grammar sees them. */
export interface Vocabulary {
  /** By id. Undefined where there is no token. */
  readonly bytes: readonly (Uint8Array | undefined)[]
  /** Tokens that are no text for a grammar: control tokens such as end of text. */
  readonly isSpecial: (id: number) => boolean
  /** Width of a row of logits; ids beyond the tokenizer's are never allowed. */
  readonly size: number
  /** Tokens that end a text. */
  readonly stopIds: readonly number[]
}

/** Reads a tokenizer; special tokens among `textIds` count as their text. Throws `unsupported` where the text of a token depends on its neighbours. */
export function readVocabulary(
  tokenizer: Tokenizer,
  {
    size,
    stopIds,
    textIds = [],
  }: { readonly size: number; readonly stopIds: readonly number[]; readonly textIds?: readonly number[] },
): Vocabulary {
  const toBytes = tokenizer.bytesById()
  if (!toBytes)
    throw new SlipwayError(
      'unsupported',
      `${tokenizer.file}: its decoder gives tokens no bytes of their own, so structuredOutputs cannot be enforced with this model`,
    )
  const stops = new Set(stopIds)
  const texts = new Set(textIds)
  return {
    bytes: Array.from({ length: tokenizer.vocabSize }, (_, id) => toBytes(id)),
    isSpecial: (id) => stops.has(id) || (tokenizer.isSpecial(id) && !texts.has(id)),
    size,
    stopIds,
  }
}

/** The bytes of all tokens that are text. */
export function tokenBytes({ bytes, isSpecial, size }: Vocabulary): TokenBytes {
  const texts = bytes.map((text, id) => (text && !isSpecial(id) ? text : new Uint8Array()))
  const starts = new Int32Array(new SharedArrayBuffer(4 * (texts.length + 1)))
  for (const [id, { length }] of texts.entries()) starts[id + 1] = starts[id]! + length
  const all = new Uint8Array(new SharedArrayBuffer(starts.at(-1)!))
  for (const [id, text] of texts.entries()) all.set(text, starts[id])
  const longest = texts.reduce((most, { length }) => Math.max(most, length), 0)
  return { starts, bytes: all, longest, size, trie: buildTrie({ starts, bytes: all }) }
}
