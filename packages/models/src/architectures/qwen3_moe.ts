import { decoder } from '../decoder.ts'
import type { Builder } from '../load.ts'

/** Qwen3 with experts in some or all layers. */
export const build: Builder = (device, config, weights) => {
  const bias = config.attentionBias ?? false
  return decoder(device, config, weights, {
    qkvBias: bias,
    outputBias: bias,
    mlpBias: false,
    qkNorm: true,
    experts: {
      module: 'mlp',
      projections: { gate: 'gate_proj', up: 'up_proj', down: 'down_proj' },
      normTopkProb: false,
    },
  })
}
