import type { GenerationConfig } from '@slipway/checkpoint'
import type { SamplingParams } from './sampling-params.ts'

/** What a checkpoint recommends, in the engine's terms. */
export function defaultsFrom(config: GenerationConfig): SamplingParams {
  // `do_sample: false` is how a checkpoint says greedy
  const temperature = config.doSample === false ? 0 : config.temperature
  const { topK, topP, minP, typicalP, repetitionPenalty } = config
  return Object.fromEntries(
    Object.entries({ temperature, topK, topP, minP, typicalP, repetitionPenalty }).filter(
      ([, value]) => value !== undefined,
    ),
  )
}
