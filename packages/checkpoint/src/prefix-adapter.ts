import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { bytesOfArray, SlipwayError, toF32, viewAs } from '@slipway/tensor'
import { adapterConfigFile } from './adapter-config.ts'
import { Fields } from './fields.ts'
import { readJsonObject, show } from './json-file.ts'
import { readNpy } from './npy.ts'
import { SafetensorsFile } from './safetensors.ts'

/** Keys and values that stand before a prompt in every layer, as if tokens had made them (Li and Liang 2021). */
export interface PrefixAdapter {
  readonly kind: 'prefix'
  readonly directory: string
  readonly baseModel: string | undefined
  readonly numTokens: number
  /** Where the prompt's own positions begin: behind the prefix, or at 0 as without it. */
  readonly firstPosition: number
  /** By layer, each [numTokens, width] by rows; keys are not to be rotated. */
  readonly layers: readonly { readonly keys: Float32Array; readonly values: Float32Array }[]
  /** Elements of a token's keys in a layer. */
  readonly width: number
  readonly digest: string
  close(): void
}

export const paddleConfigFile = 'prefix_config.json'

type Matrix = (kind: 0 | 1, layer: number, token: number) => Float32Array

function prefixOf(
  parts: Pick<PrefixAdapter, 'directory' | 'baseModel' | 'numTokens' | 'firstPosition' | 'width'>,
  numLayers: number,
  row: Matrix,
): PrefixAdapter {
  const { numTokens, firstPosition, width } = parts
  const digest = createHash('sha256').update(`prefix ${numTokens} ${firstPosition} ${width}`)
  const gather = (kind: 0 | 1, layer: number): Float32Array => {
    const rows = new Float32Array(numTokens * width)
    for (let t = 0; t < numTokens; t++) rows.set(row(kind, layer, t), t * width)
    digest.update(bytesOfArray(rows))
    return rows
  }
  const layers = Array.from({ length: numLayers }, (_, i) => ({ keys: gather(0, i), values: gather(1, i) }))
  return { kind: 'prefix', ...parts, layers, digest: digest.digest('base64url'), close: () => {} }
}

/**
 * PEFT's PREFIX_TUNING: `prompt_embeddings` [tokens, 2 * layers * width], which a projection has already passed; of each
 * layer keys, then values. The prompt's positions go on behind the prefix.
 */
export async function openPeftPrefix(directory: string): Promise<PrefixAdapter> {
  const file = join(directory, adapterConfigFile)
  const fields = new Fields((await readJsonObject(file)) ?? {}, file)
  const numTokens = fields.count('num_virtual_tokens')
  const numLayers = fields.count('num_layers')
  const width = fields.count('token_dim')
  const submodules = fields.integer(['num_transformer_submodules']) ?? 1
  if (submodules !== 1) throw fields.fault('num_transformer_submodules', submodules, '1, for models without encoder')
  if (Array.isArray(fields.json['modules_to_save']) && fields.json['modules_to_save'].length > 0)
    throw fields.fault('modules_to_save', fields.json['modules_to_save'], 'none: whole modules are not supported')
  const path = join(directory, 'adapter_model.safetensors')
  const tensors = await SafetensorsFile.open(path)
  try {
    const name = 'prompt_embeddings'
    const bytes = tensors.bytes(name)
    const { shape, dtype } = tensors.tensors.get(name)!
    const cols = 2 * numLayers * width
    if (shape.length !== 2 || shape[0] !== numTokens || shape[1] !== cols)
      throw new SlipwayError(
        'checkpoint',
        `${path}: tensor ${name} has shape [${shape}], ${adapterConfigFile} asks for [${numTokens}, ${cols}]`,
        { file: path, tensor: name },
      )
    const all = toF32(dtype, viewAs(dtype, bytes, numTokens * cols))
    const baseModel = fields.string('base_model_name_or_path')
    return prefixOf(
      { directory, baseModel, numTokens, firstPosition: numTokens, width },
      numLayers,
      (kind, layer, t) => {
        const start = t * cols + (2 * layer + kind) * width
        return all.subarray(start, start + width)
      },
    )
  } finally {
    tensors.close()
  }
}

/**
 * PaddleNLP's prefix tuning: `pre_caches.npy` [layers, 2, heads, tokens, headDim]. The prompt's positions begin at 0, as
 * its models count them. The pickled prefix_model_state.pdparams is not read: that could run any code.
 */
export async function openPaddlePrefix(directory: string): Promise<PrefixAdapter> {
  const path = join(directory, 'pre_caches.npy')
  if (!existsSync(path)) {
    const message = `${directory}: has ${paddleConfigFile} and no pre_caches.npy; export it with PaddleNLP's predictor tools`
    throw new SlipwayError('checkpoint', message, { file: directory })
  }
  const file = join(directory, paddleConfigFile)
  const fields = new Fields((await readJsonObject(file)) ?? {}, file)
  const { shape, values } = await readNpy(path)
  const [numLayers = 0, pair = 0, heads = 0, numTokens = 0, headDim = 0] = shape
  const asked = fields.integer(['num_prefix_tokens']) ?? numTokens
  if (shape.length !== 5 || pair !== 2 || asked !== numTokens || numTokens === 0)
    throw new SlipwayError(
      'checkpoint',
      `${path}: shape ${show(shape)}; expected [layers, 2, heads, ${asked}, head size]`,
      { file: path },
    )
  const width = heads * headDim
  const parts = { directory, baseModel: fields.string('base_model_name_or_path'), numTokens, firstPosition: 0, width }
  return prefixOf(parts, numLayers, (kind, layer, t) => {
    const row = new Float32Array(width)
    for (let h = 0; h < heads; h++) {
      const start = (((layer * 2 + kind) * heads + h) * numTokens + t) * headDim
      row.set(values.subarray(start, start + headDim), h * headDim)
    }
    return row
  })
}
