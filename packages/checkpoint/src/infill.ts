import type { Tokenizer } from './tokenizer.ts'

// Filling in between two texts. Checkpoints that were trained for it have tokens that say which part is which; their
// spellings, not the names of models, tell the form. Sources: model cards of Qwen2.5-Coder, StarCoder2, CodeGemma,
// DeepSeek-Coder and GLM-4.5; CodeLlama's `infilling_prompt_tokens`; mistral-common's `encode_fim`.

/** Tokens before the prefix, before the suffix, and before the answer. */
const spellings = [
  ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>'],
  ['<fim_prefix>', '<fim_suffix>', '<fim_middle>'],
  ['<fim-prefix>', '<fim-suffix>', '<fim-middle>'],
  ['<｜fim▁begin｜>', '<｜fim▁hole｜>', '<｜fim▁end｜>'],
  ['<|code_prefix|>', '<|code_suffix|>', '<|code_middle|>'],
  ['▁<PRE>', '▁<SUF>', '▁<MID>'],
] as const

/** Where the suffix comes first and the answer goes on from the prefix. */
const suffixFirst = { prefix: '[PREFIX]', suffix: '[SUFFIX]' }

/** Tokens that end an answer in the middle, where the checkpoint has them, beside those that end every text. */
const ends = [
  '▁<EOT> <|EOT|> <|endoftext|> <|fim_pad|> <fim_pad> <fim-pad>',
  // what comes between files
  '<|file_sep|> <file_sep> <|file_separator|> <|repo_name|> <repo_name> <reponame> <filename>',
].flatMap((tokens) => tokens.split(' '))

export interface InfillIds {
  readonly promptTokenIds: readonly number[]
  /** Tokens that end the answer. */
  readonly endIds: readonly number[]
}

/** The prompt that asks for what stands between two texts; undefined where the tokenizer has no tokens for it. */
export function encodeInfill(tokenizer: Tokenizer, prefix: string, suffix: string): InfillIds | undefined {
  const idsOf = (tokens: readonly string[]): number[] => tokens.flatMap((token) => tokenizer.tokenToId(token) ?? [])
  const before = beginIds(tokenizer)
  const head = encoded(tokenizer, prefix)
  const tail = encodedInside(tokenizer, suffix)
  for (const spelling of spellings) {
    const [pre, suf, mid] = idsOf(spelling)
    if (mid === undefined) continue
    const promptTokenIds = [...before, pre!, ...head, suf!, ...tail, mid]
    return { promptTokenIds, endIds: [...idsOf(ends), pre!, suf!] }
  }
  const [suf, pre] = idsOf([suffixFirst.suffix, suffixFirst.prefix])
  if (pre === undefined) return undefined
  return { promptTokenIds: [...before, suf!, ...tail, pre, ...head], endIds: [...idsOf(ends), pre, suf!] }
}

/** What the tokenizer puts before every text. */
function beginIds(tokenizer: Tokenizer): number[] {
  const [first] = encoded(tokenizer, 'a')
  const ids = tokenizer.encode('a')
  return ids.slice(0, Math.max(0, ids.indexOf(first ?? -1)))
}

function encoded(tokenizer: Tokenizer, text: string): number[] {
  return text === '' ? [] : tokenizer.encode(text, { addSpecialTokens: false })
}

/** A text that begins nothing: without the blank that some tokenizers put before every text. */
function encodedInside(tokenizer: Tokenizer, text: string): number[] {
  const [first] = encoded(tokenizer, 'a')
  if (!tokenizer.idToToken(first ?? -1)?.startsWith('▁')) return encoded(tokenizer, text)
  // the makers' way: behind a sign that joins nothing, which goes away again
  const sign = '☺'
  return encoded(tokenizer, sign + text).slice(encoded(tokenizer, sign).length)
}
