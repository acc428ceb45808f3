import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bytesOfArray } from '@slipway/tensor'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseLoraConfig } from './adapter-config.ts'
import { openLoraAdapter } from './lora-adapter.ts'
import { writeSafetensors } from './safetensors-writer.ts'

const fixture = fileURLToPath(new URL('../../models/fixtures-adapters/qwen3/lora-4', import.meta.url))
const plain = { peft_type: 'LORA', r: 4, lora_alpha: 8, target_modules: ['q_proj'] }
const [q0, q10] = ['model.layers.0.self_attn.q_proj', 'model.layers.10.self_attn.q_proj']

const parse = (changes: object) => parseLoraConfig({ ...plain, ...changes }, 'adapter_config.json')

describe('adapter_config.json', () => {
  test('rank and scale of a module follow the patterns, from a dot on', () => {
    const config = parse({ rank_pattern: { 'layers\\.1\\d\\.self_attn\\.q_proj': 16 }, alpha_pattern: { q_proj: 2 } })
    expect([config.rankOf(q0), config.scaleOf(q0)]).toEqual([4, 0.5])
    expect([config.rankOf(q10), config.scaleOf(q10)]).toEqual([16, 0.125])
    expect(parse({ use_rslora: true }).scaleOf(q0)).toBe(4)
    // not the end of a longer word
    expect(parse({ rank_pattern: { proj: 9 } }).rankOf(q0)).toBe(4)
  })

  test.each<[unknown, Record<string, unknown>, boolean[]]>([
    [['q_proj'], {}, [true, true]],
    [['proj'], {}, [false, false]],
    [[q0], {}, [true, false]],
    ['all-linear', {}, [true, true]],
    ['all-linear', { exclude_modules: ['q_proj'] }, [false, false]],
    ['.*\\.(?P<which>q|k)_proj', {}, [true, true]],
    ['q_proj', {}, [false, false]],
    [['q_proj'], { layers_to_transform: 10 }, [false, true]],
    [['q_proj'], { layers_to_transform: [0, 1], layers_pattern: 'layers' }, [true, false]],
    [['q_proj'], { layers_to_transform: [0, 1], layers_pattern: ['blocks'] }, [false, false]],
  ])('target_modules %j with %j', (target, more, expected) => {
    const { targets } = parse({ target_modules: target, ...more })
    expect([targets(q0), targets(q10)]).toEqual(expected)
  })

  test.each<[object, string]>([
    [{ peft_type: 'IA3' }, '"peft_type" is "IA3": only LORA and PREFIX_TUNING'],
    [{ bias: 'all' }, '"bias" is "all": trained biases'],
    [{ use_dora: true }, '"use_dora" is true: DoRA adapters are not supported; merge'],
    [{ modules_to_save: ['lm_head'] }, '"modules_to_save" is ["lm_head"]: whole modules'],
    [{ target_parameters: ['experts.down_proj'] }, '"target_parameters"'],
    [{ layer_replication: [[0, 2]] }, '"layer_replication" is [[0,2]]: this is not supported'],
    [{ some_new_idea: { strength: 2 } }, '"some_new_idea"'],
    [{ init_lora_weights: 'pissa_niter_16' }, '"init_lora_weights" is "pissa_niter_16"'],
    [{ r: 0 }, '"r" is 0'],
    [{ target_modules: 7 }, '"target_modules" is 7'],
    [{ target_modules: '(?<!a' }, '"target_modules" is "(?<!a": the expression cannot be read'],
    [{ rank_pattern: { q_proj: 'x' } }, '"rank_pattern.q_proj" is "x"'],
    [{ rank_pattern: 3 }, '"rank_pattern" is 3'],
  ])('%j is refused', (changes, text) => {
    expect(() => parse(changes)).toThrow(text)
  })

  test('what says nothing is no obstacle', () => {
    expect(() => parse({ modules_to_save: [], use_dora: false, bias: 'none', some_new_idea: null })).not.toThrow()
    expect(() => parse({ lora_dropout: 0.1, inference_mode: true, init_lora_weights: 'gaussian' })).not.toThrow()
  })
})

describe('an adapter', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-adapter-'))
    cpSync(fixture, folder, { recursive: true })
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const write = (tensors: Record<string, number[]>) =>
    writeSafetensors(
      join(folder, 'adapter_model.safetensors'),
      Object.entries(tensors).map(([name, shape]) => ({
        name: `base_model.model.${name}`,
        dtype: 'f32',
        shape,
        bytes: bytesOfArray(new Float32Array(shape.reduce((a, b) => a * b, 1))),
      })),
    )

  test('is read with its names, shapes and ranks, and known by its content', async () => {
    const adapter = await openLoraAdapter(folder)
    expect(adapter).toMatchObject({ rank: 7, baseModel: 'qwen3' })
    expect(adapter.modules).toHaveLength(8)
    const module = adapter.modules.find(({ name }) => name === q0)!
    expect(module).toMatchObject({ rank: 2, inputs: 48, outputs: 64, scale: 3 })
    expect([module.down().length, module.up().length]).toEqual([96, 128])
    adapter.close()
    const again = await openLoraAdapter(fixture)
    expect(again.digest).toBe(adapter.digest)
    again.close()
    await write({ [`${q0}.lora_A.weight`]: [2, 48], [`${q0}.lora_B.weight`]: [64, 2] })
    const other = await openLoraAdapter(folder)
    expect(other.digest).not.toBe(adapter.digest)
    other.close()
  })

  test.each<[string, Record<string, number[]>, string]>([
    ['half a pair', { [`${q0}.lora_A.weight`]: [2, 48] }, 'has no lora_B beside it'],
    ['another rank', { [`${q0}.lora_A.weight`]: [4, 48], [`${q0}.lora_B.weight`]: [64, 4] }, 'says rank 2'],
    ['no matrix', { [`${q0}.lora_A.weight`]: [48], [`${q0}.lora_B.weight`]: [64, 2] }, 'expected a matrix'],
    ['DoRA', { [`${q0}.lora_magnitude_vector`]: [64] }, 'part of a DoRA adapter'],
    ['an embedding', { 'model.embed_tokens.lora_embedding_A': [4, 165] }, 'adapts the embedding'],
    ['a whole module', { 'lm_head.weight': [165, 48] }, 'is no lora_A or lora_B'],
    [
      'a module that is no target',
      { 'model.layers.0.mlp.up_proj.lora_A.weight': [4, 48], 'model.layers.0.mlp.up_proj.lora_B.weight': [88, 4] },
      'does not name',
    ],
    ['nothing', {}, 'has no LoRA weights'],
  ])('with %s is refused', async (_, tensors, text) => {
    await write(tensors)
    await expect(openLoraAdapter(folder)).rejects.toThrow(text)
  })

  test('without its files is refused with the remedy', async () => {
    rmSync(join(folder, 'adapter_model.safetensors'))
    await expect(openLoraAdapter(folder)).rejects.toThrow('has no adapter_model.safetensors; give the folder')
    writeFileSync(join(folder, 'adapter_model.bin'), '')
    await expect(openLoraAdapter(folder)).rejects.toThrow('save it again with safe_serialization')
    rmSync(join(folder, 'adapter_config.json'))
    await expect(openLoraAdapter(folder)).rejects.toThrow('has no adapter_config.json')
  })
})
