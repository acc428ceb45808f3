import { decoder } from '../decoder.ts'
import type { Builder } from '../load.ts'

/** Mixtral: Llama with experts in all layers. The softmax over the chosen ones is that over all, renormalised. */
export const build: Builder = (device, config, weights) =>
  decoder(device, config, weights, {
    qkvBias: false,
    outputBias: false,
    mlpBias: false,
    qkNorm: false,
    experts: {
      module: 'block_sparse_moe',
      projections: { gate: 'w1', up: 'w3', down: 'w2' },
      normTopkProb: true,
    },
  })
