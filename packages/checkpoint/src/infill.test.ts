import { describe, expect, test } from 'vitest'
import { encodeInfill } from './infill.ts'
import { Tokenizer } from './tokenizer.ts'

// Small tokenizers with the tokens of real ones; what they must give is written by hand.

const added = (tokens: readonly string[], from: number, special = true): object[] =>
  tokens.map((content, i) => ({
    id: from + i,
    content,
    special,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  }))

/** Puts a begin token before every text. */
const begin = (token: string, id: number): object => ({
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
})

const bytes = ['a', 'b', 'c', 'Ġ', 'Ċ', 'ab', 'Ġc']
/** A byte-level tokenizer: a 0, b 1, c 2, blank 3, line 4, "ab" 5, " c" 6. */
function byteLevel(tokens: readonly string[], { beginToken = '', special = true } = {}): Tokenizer {
  return new Tokenizer({
    added_tokens: added([...tokens, ...(beginToken && [beginToken])], 10, special),
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    ...(beginToken && { post_processor: begin(beginToken, 10 + tokens.length) }),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(bytes.map((token, id) => [token, id])),
      merges: ['a b', 'Ġ c'],
    },
  })
}

/** A sentencepiece one: <unk> 0, <s> 1, a 2, b 3, c 4, ▁ 5, "▁a" 6, "▁c" 7, ☺ 8, "ab" 9. */
function sentencePiece(tokens: readonly string[]): Tokenizer {
  const vocab = ['<unk>', '<s>', 'a', 'b', 'c', '▁', '▁a', '▁c', '☺', 'ab']
  return new Tokenizer({
    added_tokens: [...added(['<unk>', '<s>'], 0), ...added(tokens, 10)],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '▁' },
        { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
      ],
    },
    post_processor: begin('<s>', 1),
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      vocab: Object.fromEntries(vocab.map((token, id) => [token, id])),
      merges: ['▁ a', '▁ c', 'a b'],
    },
  })
}

describe('the tokens around prefix "ab c" and suffix " c\\na"', () => {
  const inBytes = { prefix: [5, 6], suffix: [6, 4, 0] }
  const ask = (tokenizer: Tokenizer) => encodeInfill(tokenizer, 'ab c', ' c\na')

  test.each([
    // Qwen2.5-Coder and Granite; Qwen does not mark them as special
    [
      ['<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>', '<|fim_pad|>', '<|repo_name|>', '<|file_sep|>'],
      [15, 14, 13],
    ],
    // StarCoder2
    [
      ['<fim_prefix>', '<fim_middle>', '<fim_suffix>', '<fim_pad>', '<repo_name>', '<file_sep>'],
      [15, 14, 13],
    ],
    // SantaCoder
    [['<fim-prefix>', '<fim-middle>', '<fim-suffix>', '<fim-pad>'], [13]],
    // GLM-4.5
    [['<|code_prefix|>', '<|code_middle|>', '<|code_suffix|>', '<|endoftext|>'], [13]],
  ])('%j', (tokens, ends) => {
    for (const special of [true, false]) {
      const infill = ask(byteLevel(tokens, { special }))!
      expect(infill.promptTokenIds).toEqual([10, ...inBytes.prefix, 12, ...inBytes.suffix, 11])
      expect([...infill.endIds].sort()).toEqual([10, 12, ...ends].sort())
    }
  })

  test('DeepSeek-Coder, behind its begin token', () => {
    const tokens = ['<｜fim▁hole｜>', '<｜fim▁begin｜>', '<｜fim▁end｜>', '<|EOT|>']
    const infill = ask(byteLevel(tokens, { beginToken: '<｜begin▁of▁sentence｜>' }))!
    expect(infill.promptTokenIds).toEqual([14, 11, ...inBytes.prefix, 10, ...inBytes.suffix, 12])
    expect(infill.endIds).toEqual([13, 11, 10])
  })

  test('CodeGemma', () => {
    const tokens = ['<|fim_prefix|>', '<|fim_middle|>', '<|fim_suffix|>', '<|file_separator|>']
    const infill = ask(byteLevel(tokens, { beginToken: '<bos>' }))!
    expect(infill.promptTokenIds).toEqual([14, 10, ...inBytes.prefix, 12, ...inBytes.suffix, 11])
    expect(infill.endIds).toContain(13)
  })
})

describe('where every text begins with a blank, the suffix does not', () => {
  test('CodeLlama', () => {
    const infill = (prefix: string, suffix: string) =>
      encodeInfill(sentencePiece(['▁<PRE>', '▁<MID>', '▁<SUF>', '▁<EOT>']), prefix, suffix)!
    expect(infill('ab c', 'ab')).toEqual({ promptTokenIds: [1, 10, 6, 3, 7, 12, 9, 11], endIds: [13, 10, 12] })
    expect(infill('a', ' a').promptTokenIds).toEqual([1, 10, 6, 12, 6, 11])
    expect(infill('', '').promptTokenIds).toEqual([1, 10, 12, 11])
  })

  test('Codestral: the suffix first, and no token before the answer', () => {
    const infill = encodeInfill(sentencePiece(['[PREFIX]', '[MIDDLE]', '[SUFFIX]']), 'a c', 'ab')
    expect(infill).toEqual({ promptTokenIds: [1, 12, 9, 10, 6, 7], endIds: [10, 12] })
  })
})

test.each([[[]], [['<|fim_prefix|>', '<|fim_suffix|>']], [['[PREFIX]', '<fim_middle>']]])(
  '%j are not enough',
  (tokens) => {
    expect(encodeInfill(byteLevel(tokens), 'a', 'b')).toBeUndefined()
  },
)
