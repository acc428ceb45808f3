import { encodeInfill, type InfillIds, type Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'

/** Text, or token ids. */
export type PlainPrompt = string | readonly number[]

/** Two texts, of which the answer is to stand between; for models whose tokenizer has tokens for it. */
export interface InfillPrompt {
  readonly prefix: string
  readonly suffix: string
}

/** What can be completed. */
export type Prompt = PlainPrompt | InfillPrompt

export function isOne<P extends Prompt>(prompts: P | readonly P[]): prompts is P {
  return !Array.isArray(prompts) || typeof prompts[0] === 'number'
}

/** The ids of a prompt; a `request` error where it has none. */
export function encodePrompt(prompt: Prompt, tokenizer: Tokenizer, vocabSize: number): InfillIds {
  if (typeof prompt === 'string') return { promptTokenIds: tokenizer.encode(prompt), endIds: [] }
  if (!('suffix' in prompt)) return { promptTokenIds: checkIds(prompt, vocabSize), endIds: [] }
  const { prefix, suffix } = prompt
  if (typeof prefix !== 'string' || typeof suffix !== 'string')
    throw new SlipwayError('request', 'prefix and suffix must be texts', { param: 'prompt' })
  const infill = encodeInfill(tokenizer, prefix, suffix)
  if (infill) return infill
  throw new SlipwayError(
    'request',
    'suffix: this model has no tokens for filling in between two texts, such as <|fim_prefix|>; ' +
      'remove suffix, or serve a model that was trained for it',
    { param: 'suffix', code: 'unsupported_parameter' },
  )
}

/** The ids, all of them in the vocabulary; a `request` error otherwise. */
export function checkIds(ids: readonly number[], vocabSize: number): readonly number[] {
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
  if (bad === undefined) return ids
  throw new SlipwayError('request', `token id ${bad} is outside the vocabulary of ${vocabSize}`, { param: 'prompt' })
}

/** A prompt has 1 to `most` tokens, a `request` error otherwise; `maxModelLen` of what, and the remedy, are its end. */
export function checkLength(numTokens: number, most: number, maxModelLen: number, end: string): void {
  if (numTokens === 0)
    throw new SlipwayError('request', 'the prompt is empty; give at least one token', { param: 'prompt' })
  if (numTokens <= most) return
  const message = `the prompt has ${numTokens} tokens, but the model takes ${maxModelLen}${end}`
  const code = 'context_length_exceeded'
  throw new SlipwayError('request', message, { param: 'prompt', code, promptTokens: numTokens, maxModelLen })
}
