import { readdirSync } from 'node:fs'
import type { Checkpoint, ModelConfig } from '@slipway/checkpoint'
import { SlipwayError, type Device, type LoadReport, type PackedCache } from '@slipway/tensor'
import { LoraTables, type LoraOptions } from './lora-table.ts'
import type { LanguageModel } from './model.ts'
import { Weights, type WeightOptions } from './weights.ts'

/** What a file of architectures/ exports as `build`. */
export type Builder = (device: Device, config: ModelConfig, weights: Weights) => LanguageModel

/** The names of the files in architectures/ are the `model_type`s that can be loaded: adding one adds a model. */
export function supportedModelTypes(): string[] {
  const files = readdirSync(new URL('./architectures', import.meta.url))
  return files.flatMap((file) => /^(.+?)(?<!\.d|\.test)\.js$/.exec(file)?.[1] ?? []).sort()
}

export interface LoadModelOptions extends Omit<WeightOptions, 'adapters'> {
  /** Makes room for LoRA adapters, or takes the room of a model of the same config, with those that are in it. */
  readonly lora?: LoraOptions | LoraTables | undefined
  /** Where packed weights are kept from one start to the next; absent: nowhere. */
  readonly packedCache?: PackedCache | undefined
  /** Whether embeddings may come after the load; whoever runs the model then heeds `lateRows`, and the checkpoint stays open. */
  readonly late?: boolean
  /** Told where the weights came from. */
  readonly onLoaded?: (report: LoadReport) => void
}

/** Builds the model on the device. The checkpoint can be closed afterwards. */
export async function loadModel(
  checkpoint: Checkpoint,
  device: Device,
  { packedCache, late = false, onLoaded, lora, ...options }: LoadModelOptions,
): Promise<LanguageModel> {
  const { config } = checkpoint
  const supported = supportedModelTypes()
  if (!supported.includes(config.modelType))
    throw new SlipwayError(
      'unsupported',
      `${checkpoint.directory}: model_type "${config.modelType}" is not supported; known: ${supported.join(', ')}`,
      { modelType: config.modelType },
    )
  if (config.quantization !== null)
    throw new SlipwayError(
      'unsupported',
      `${checkpoint.directory}: quantised checkpoints cannot be loaded yet; take the float one`,
    )
  const { build } = (await import(`./architectures/${config.modelType}.js`)) as { build: Builder }
  const adapters = lora && (lora instanceof LoraTables ? lora : new LoraTables(device, options.dtype, lora))
  const weights = new Weights(checkpoint.tensors, device, { ...options, adapters })
  const model = build(device, config, weights)
  const report = await weights.load({
    cache: packedCache,
    late,
    identity: JSON.stringify([weights.purpose, weights.classTokenIds ?? [], config.raw]),
  })
  onLoaded?.(report)
  return { ...model, adapters, lateRows: report.late }
}
