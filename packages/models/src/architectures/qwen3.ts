import { decoder } from '../decoder.ts'
import type { Builder } from '../load.ts'

/** Qwen3, dense: a norm over each head of q and k instead of the biases. */
export const build: Builder = (device, config, weights) => {
  const bias = config.attentionBias ?? false
  return decoder(device, config, weights, { qkvBias: bias, outputBias: bias, mlpBias: false, qkNorm: true })
}
