import { SlipwayError } from '@slipway/tensor'

/** Text, or token ids. */
export type Prompt = string | readonly number[]

/** The ids, all of them in the vocabulary; a `request` error otherwise. */
export function checkIds(ids: readonly number[], vocabSize: number): readonly number[] {
  const bad = ids.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabSize)
  if (bad === undefined) return ids
  throw new SlipwayError('request', `token id ${bad} is outside the vocabulary of ${vocabSize}`, { param: 'prompt' })
}
