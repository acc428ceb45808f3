import { decoder } from '../decoder.ts'
import type { Builder } from '../load.ts'

/** Qwen1.5, Qwen2 and Qwen2.5, dense: Llama with a bias on q, k and v. */
export const build: Builder = (device, config, weights) =>
  decoder(device, config, weights, { qkvBias: true, outputBias: false, mlpBias: false, qkNorm: false })
