import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { parseConfig } from './config.ts'
import type { ModelConfig } from './config.ts'
import { readGenerationConfig } from './generation-config.ts'
import type { GenerationConfig } from './generation-config.ts'
import { readJsonObject } from './json-file.ts'
import { openTensors } from './tensor-source.ts'
import type { TensorSource } from './tensor-source.ts'

/** What the thread that computes needs of a model's directory; tokenizer and template live in another thread. */
export interface Checkpoint {
  readonly directory: string
  readonly config: ModelConfig
  readonly generationConfig: GenerationConfig
  readonly tensors: TensorSource
  close(): void
}

/** The config of a model's directory; a `checkpoint` error when there is none. */
export async function readConfig(directory: string): Promise<ModelConfig> {
  const file = join(directory, 'config.json')
  const json = await readJsonObject(file)
  if (json) return parseConfig(json, file)
  const message = `${directory}: has no config.json; give a directory in the layout of the Hugging Face hub, or "org/name"`
  throw new SlipwayError('checkpoint', message, { file })
}

/** Opens a directory in the layout of the Hugging Face hub. Close it to give its files back. */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const config = await readConfig(directory)
  const generationConfig = await readGenerationConfig(directory)
  const tensors = await openTensors(directory)
  return { directory, config, generationConfig, tensors, close: () => tensors.close() }
}
