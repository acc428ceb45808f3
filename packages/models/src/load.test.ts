import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openCheckpoint } from '@slipway/checkpoint'
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
  expect(supportedModelTypes()).toEqual(['llama', 'mixtral', 'qwen2', 'qwen3', 'qwen3_moe'])
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

describe('refuses, with the reason', () => {
  test.each<[string, Record<string, unknown>, string]>([
    [
      'an unknown architecture',
      { model_type: 'mamba' },
      'model_type "mamba" is not supported; known: llama, mixtral, qwen2, qwen3, qwen3_moe',
    ],
    ['a path as its name', { model_type: '../load' }, 'model_type "../load" is not supported'],
    [
      'quantised weights',
      { quantization_config: { quant_method: 'gptq' } },
      'quantised checkpoints cannot be loaded yet',
    ],
    ['another activation', { hidden_act: 'gelu' }, 'hidden_act "gelu"'],
    ['another shape', { intermediate_size: 96 }, 'the files do not belong together'],
    ['a missing layer', { num_hidden_layers: 3 }, 'model.layers.2.'],
    ['a layer too many', { num_hidden_layers: 1 }, 'have no place in this architecture'],
  ])('%s', async (_, changes, message) => {
    await expect(changed('qwen3', changes).then(load)).rejects.toThrow(message)
  })
})
