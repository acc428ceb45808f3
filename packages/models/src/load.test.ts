import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openCheckpoint, writeSafetensors } from '@slipway/checkpoint'
import { nullDevice } from '@slipway/tensor'
import { afterAll, describe, expect, test } from 'vitest'
import { loadModel, supportedModelTypes } from './load.ts'

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

/** A copy of a fixture with some of its config changed. */
async function changed(name: string, changes: Record<string, unknown>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-load-'))
  folders.push(folder)
  await cp(fixtures + name, folder, { recursive: true })
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as Record<string, unknown>
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }))
  return folder
}

async function load(folder: string) {
  const checkpoint = await openCheckpoint(folder)
  const { device, counted } = nullDevice()
  try {
    const model = await loadModel(checkpoint, device, { dtype: 'f32', quantization: undefined })
    return { model, counted }
  } finally {
    checkpoint.close()
  }
}

test('the files in architectures/ are what can be loaded', () => {
  expect(supportedModelTypes()).toEqual([
    'bert',
    'llama',
    'mixtral',
    'qwen2',
    'qwen3',
    'qwen3_moe',
    'roberta',
    'xlm-roberta',
  ])
})

test('a loaded model knows its size, and the null device what it holds', async () => {
  const { model, counted } = await load(fixtures + 'qwen3')
  const { hiddenSize, intermediateSize, vocabSize, numLayers, headDim, numHeads, numKvHeads } = model.config
  const attention = hiddenSize * headDim * (2 * numHeads + 2 * numKvHeads) + 2 * headDim
  const layer = attention + 3 * hiddenSize * intermediateSize + 2 * hiddenSize
  expect(model.numParameters).toBe(numLayers * layer + vocabSize * hiddenSize + hiddenSize)
  // f32 weights, and the rope frequencies
  expect(counted.residentBytes).toBe(4 * model.numParameters + 4 * (headDim / 2))
})

test('a mixture of experts takes as many parameters as its tensors have', async () => {
  const { model, counted } = await load(fixtures + 'qwen3-moe')
  const bytes = await readFile(join(fixtures, 'qwen3-moe', 'model.safetensors'))
  const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString()) as Record<string, object>
  const shapes = Object.values(header).flatMap((info) => ('shape' in info ? [info.shape as number[]] : []))
  expect(model.numParameters).toBe(shapes.reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0))
  expect(counted.residentBytes).toBe(4 * model.numParameters + 4 * (model.config.headDim / 2))
})

test('experts in one tensor are refused', async () => {
  const folder = await changed('qwen3-moe', {})
  const { tensors: source } = await openCheckpoint(folder)
  const tensors = [...source.names].map((name) => {
    const { dtype, shape } = source.info(name)
    return { name, dtype: dtype as 'f32', shape, bytes: source.bytes(name) }
  })
  const fused = {
    name: 'model.layers.0.mlp.experts.gate_up_proj',
    dtype: 'f32' as const,
    shape: [1],
    bytes: new Uint8Array(4),
  }
  const file = join(folder, 'fused.safetensors')
  await writeSafetensors(file, [...tensors, fused])
  await rename(file, join(folder, 'model.safetensors'))
  await expect(load(folder)).rejects.toThrow('model.layers.0.mlp.experts.gate_up_proj holds all experts in one')
})

describe('refuses, with the reason', () => {
  test.each<[string, Record<string, unknown>, string]>([
    [
      'an unknown architecture',
      { model_type: 'mamba' },
      'model_type "mamba" is not supported; known: bert, llama, mixtral, qwen2, qwen3, qwen3_moe, roberta, xlm-roberta',
    ],
    ['a path as its name', { model_type: '../load' }, 'model_type "../load" is not supported'],
    [
      'quantised weights',
      { quantization_config: { quant_method: 'gptq' } },
      'quantised checkpoints cannot be loaded yet',
    ],
    ['another activation', { hidden_act: 'gelu' }, 'hidden_act "gelu"'],
    ['experts where there are none', { num_experts: 4, num_experts_per_tok: 2 }, '"qwen3" is built without them'],
    ['another shape', { intermediate_size: 96 }, 'the files do not belong together'],
    ['a missing layer', { num_hidden_layers: 3 }, 'model.layers.2.'],
    ['a layer too many', { num_hidden_layers: 1 }, 'have no place in this architecture'],
  ])('%s', async (_, changes, message) => {
    await expect(changed('qwen3', changes).then(load)).rejects.toThrow(message)
  })
})
