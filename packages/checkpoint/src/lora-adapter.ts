import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError, toF32, viewAs } from '@slipway/tensor'
import { adapterConfigFile, readLoraConfig } from './adapter-config.ts'
import { SafetensorsFile } from './safetensors.ts'

/** What an adapter adds to one linear layer: scale * up (down x). */
export interface LoraModule {
  /** Name of the layer in the model: `model.layers.0.self_attn.q_proj`. */
  readonly name: string
  readonly rank: number
  readonly inputs: number
  readonly outputs: number
  readonly scale: number
  /** By rows, read from the file: down [rank, inputs], up [outputs, rank]. */
  down(): Float32Array
  up(): Float32Array
}

export interface LoraAdapter {
  readonly kind: 'lora'
  readonly directory: string
  /** The model that it was trained on, as its makers called it. */
  readonly baseModel: string | undefined
  /** Highest rank of its modules. */
  readonly rank: number
  readonly modules: readonly LoraModule[]
  /** SHA-256 over its files: adapters of equal digests compute the same. */
  readonly digest: string
  close(): void
}

const weightsFile = 'adapter_model.safetensors'

/** Opens a LoRA adapter as the PEFT library saves it. Shapes are checked against its config, not against a model. */
export async function openLoraAdapter(directory: string): Promise<LoraAdapter> {
  const config = await readLoraConfig(directory)
  const path = join(directory, weightsFile)
  if (!existsSync(path)) {
    const older = existsSync(join(directory, 'adapter_model.bin'))
    const remedy = older ? 'save it again with safe_serialization' : 'give the folder of a PEFT adapter'
    throw new SlipwayError('checkpoint', `${directory}: has no ${weightsFile}; ${remedy}`, { file: directory })
  }
  const file = await SafetensorsFile.open(path)
  try {
    const modules = pairs(file).map(([name, down, up]): LoraModule => {
      const [a, b] = [shapeOf(file, down), shapeOf(file, up)]
      const rank = config.rankOf(name)
      if (!config.targets(name))
        throw fault(path, down, `belongs to a module that ${adapterConfigFile} does not name in target_modules`)
      if (a[0] !== rank || b[1] !== rank)
        throw fault(path, down, `and its pair have shapes [${a}] and [${b}]; ${adapterConfigFile} says rank ${rank}`)
      const scale = config.scaleOf(name)
      return {
        name,
        rank,
        inputs: a[1],
        outputs: b[0],
        scale,
        down: () => valuesOf(file, down),
        up: () => valuesOf(file, up),
      }
    })
    if (modules.length === 0) throw new SlipwayError('checkpoint', `${path}: has no LoRA weights`, { file: path })
    const digest = createHash('sha256')
    for (const name of [adapterConfigFile, weightsFile]) digest.update(await readFile(join(directory, name)))
    return {
      kind: 'lora',
      directory,
      baseModel: config.baseModel,
      rank: Math.max(...modules.map((module) => module.rank)),
      modules,
      digest: digest.digest('base64url'),
      close: () => file.close(),
    }
  } catch (error) {
    file.close()
    throw error
  }
}

/** Module, name of lora_A and name of lora_B; every tensor of the file must be one of them. */
function pairs(file: SafetensorsFile): [string, string, string][] {
  const found = new Map<string, { A?: string; B?: string }>()
  for (const name of [...file.tensors.keys(), ...file.foreign.keys()]) {
    const match = /^(?:base_model\.model\.)?(.+)\.lora_([AB])(?:\.default)?\.weight$/.exec(name)
    if (!match) throw fault(file.path, name, whyForeign(name))
    const pair = found.get(match[1]!) ?? {}
    pair[match[2] as 'A' | 'B'] = name
    found.set(match[1]!, pair)
  }
  return [...found].map(([module, { A, B }]) => {
    if (!A || !B) throw fault(file.path, (A ?? B)!, `has no lora_${A ? 'B' : 'A'} beside it; the file is incomplete`)
    return [module, A, B]
  })
}

function whyForeign(name: string): string {
  if (name.includes('lora_magnitude_vector')) return 'is part of a DoRA adapter; merge the adapter into its model'
  if (name.includes('lora_embedding_')) return 'adapts the embedding, which is not supported; merge the adapter'
  return 'is no lora_A or lora_B of a linear layer; merge the adapter into its model'
}

function shapeOf(file: SafetensorsFile, name: string): [number, number] {
  const info = file.tensors.get(name)
  // says which type it is
  if (!info) return (file.bytes(name), [0, 0])
  const { shape, dtype } = info
  if (shape.length !== 2) throw fault(file.path, name, `has shape [${shape}]; expected a matrix`)
  if (dtype !== 'f32' && dtype !== 'bf16' && dtype !== 'f16') throw fault(file.path, name, `is stored as ${dtype}`)
  return [shape[0]!, shape[1]!]
}

function valuesOf(file: SafetensorsFile, name: string): Float32Array {
  const { dtype, shape } = file.tensors.get(name)!
  return toF32(dtype, viewAs(dtype, file.bytes(name), shape[0]! * shape[1]!))
}

function fault(path: string, tensor: string, text: string): SlipwayError {
  return new SlipwayError('checkpoint', `${path}: tensor ${tensor} ${text}`, { file: path, tensor })
}
