import { decoder } from '../decoder.ts'
import type { Builder } from '../load.ts'

/** Llama 2, 3, 3.1 and 3.2 (Touvron et al. 2023, Llama team 2024). */
export const build: Builder = (device, config, weights) => {
  const bias = config.attentionBias ?? false
  return decoder(device, config, weights, {
    qkvBias: bias,
    outputBias: bias,
    mlpBias: weights.has('model.layers.0.mlp.gate_proj.bias'),
    qkNorm: false,
  })
}
