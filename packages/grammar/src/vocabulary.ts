import type { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'

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
