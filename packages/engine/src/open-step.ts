import type { LanguageModel } from '@slipway/models'
import type { Device, KvDtype } from '@slipway/tensor'
import { BlockPool } from './block-pool.ts'
import { Runner, type Sampled } from './runner.ts'
import { resolveParams } from './sampling-params.ts'
import { resolveScheduling } from './scheduling-options.ts'
import { Sequence } from './sequence.ts'

/** A step in which every sequence gets `rows` tokens after the `context` that it has, and wants its next token. */
export interface StepShape {
  readonly sequences: number
  readonly rows: number
  readonly context: number
}

/**
 * Makes KV caches for such a step, and a function that runs it again and again through the engine's runner, with greedy
 * sampling. The context's keys and values are zeros, which cost what any others cost.
 */
export function openStep(
  device: Device,
  model: LanguageModel,
  { sequences, rows, context }: StepShape,
  { blockSize, kvDtype }: { readonly blockSize: number; readonly kvDtype: KvDtype },
): () => Promise<Sampled[]> {
  const length = context + rows
  const pool = new BlockPool(sequences * Math.ceil(length / blockSize), blockSize)
  const runner = new Runner(device, model, pool.total, blockSize, kvDtype)
  const { vocabSize } = model.config
  const params = { ...resolveParams({ temperature: 0 }, { vocabSize, maxModelLen: length + 1 }), seed: 0, maxTokens: 1 }
  const chunks = Array.from({ length: sequences }, (_, s) => {
    // other tokens in every sequence, spread over the vocabulary
    const promptTokenIds = Array.from({ length }, (_, i) => ((s * length + i + 1) * 7919) % vocabSize)
    const sequence = new Sequence(
      { requestId: String(s), promptTokenIds, params, scheduling: resolveScheduling({}) },
      0,
      [],
    )
    pool.grow(sequence, pool.blocksFor(length))
    sequence.numComputed = context
    return { sequence, numTokens: rows }
  })
  return async () => (await runner.run(chunks)).filter((result) => 'token' in result)
}
