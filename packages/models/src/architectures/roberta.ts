import { encoder } from '../encoder.ts'
import type { Builder } from '../load.ts'

/** RoBERTa (Liu et al. 2019): BERT whose positions begin behind that of the padding. */
export const build: Builder = (_device, config, weights) =>
  encoder(config, weights, { prefix: 'roberta', sequenceHead: 'dense' })
