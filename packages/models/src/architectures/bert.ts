import { encoder } from '../encoder.ts'
import type { Builder } from '../load.ts'

/** BERT (Devlin et al. 2018), with the heads of classification. */
export const build: Builder = (_device, config, weights) =>
  encoder(config, weights, { prefix: 'bert', sequenceHead: 'pooler' })
