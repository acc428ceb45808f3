import { readFileSync, readdirSync } from 'node:fs'
import { SlipwayError } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { parseConfig } from './config.ts'
import type { ModelConfig } from './config.ts'
import { ropeInverseFrequencies } from './rope.ts'

const fixtures = new URL('../fixtures/configs/', import.meta.url)

function readJson<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(name, fixtures), 'utf8')) as T
}

interface Expected extends Record<string, unknown> {
  ropeTheta: number | null
  ropeScaling: Record<string, unknown> | null
  slidingLayers: number[]
  dtype: string | null
}

const tiny = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 100,
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  max_position_embeddings: 64,
}

function slidingLayers(config: ModelConfig): number[] {
  return config.layerTypes.flatMap((type, layer) => (type === 'sliding' ? [layer] : []))
}

function failure(json: unknown): SlipwayError {
  try {
    parseConfig(json, 'dir/config.json')
  } catch (error) {
    if (SlipwayError.is(error)) return error
    throw error
  }
  throw new Error('expected a failure')
}

describe('what the Python library reads from real configs', () => {
  const { configs } = readJson<{ configs: Record<string, Expected> }>('expected.json')
  const dtypes: Record<string, string> = { float32: 'f32', bfloat16: 'bf16', float16: 'f16' }

  test('all fixtures are expected', () => {
    const files = readdirSync(fixtures).filter((name) => name !== 'expected.json' && name !== 'rope.json')
    expect(Object.keys(configs).sort()).toEqual(files.sort())
  })

  test.each(Object.entries(configs))('%s', (file, expected) => {
    const config = parseConfig(readJson(file), file)
    const { ropeTheta, ropeScaling, slidingLayers: sliding, dtype, ...same } = expected
    for (const [key, value] of Object.entries(same)) {
      const ours = config[key as keyof ModelConfig]
      // what the file leaves to the class of the model is left open here, too
      const isOpen = (key === 'tieWordEmbeddings' || key === 'attentionBias') && ours === null
      if (isOpen || (value === null && key === 'rmsNormEps')) continue
      expect(ours, key).toEqual(value)
    }
    if (ropeTheta !== null) expect(config.rope.theta).toBe(ropeTheta)
    expect(config.rope.scaling?.type ?? null).toBe(ropeScaling?.['rope_type'] ?? null)
    if (ropeScaling) {
      expect(config.rope.scaling).toMatchObject({ factor: ropeScaling['factor'] })
      const original = ropeScaling['original_max_position_embeddings']
      if (original !== undefined) {
        expect(config.rope.scaling).toMatchObject({ originalMaxPositionEmbeddings: original })
      }
    }
    expect(slidingLayers(config)).toEqual(sliding)
    expect(config.layerTypes.length).toBe(config.numLayers)
    if (dtype !== null) expect(config.dtype).toBe(dtypes[dtype])
  })
})

describe('rope frequencies of the Python library', () => {
  const { cases } = readJson<{
    cases: {
      name: string
      headDim: number
      maxPositionEmbeddings: number
      ropeParameters: object
      count: number
      index: number[]
      invFreq: number[]
      attentionScaling: number
    }[]
  }>('rope.json')

  test.each(cases)('$name', ({ headDim, maxPositionEmbeddings, ropeParameters, count, index, invFreq, ...rest }) => {
    const config = parseConfig({
      ...tiny,
      head_dim: headDim,
      max_position_embeddings: maxPositionEmbeddings,
      rope_parameters: ropeParameters,
    })
    const { inverseFrequencies, attentionScale } = ropeInverseFrequencies(config)
    expect(inverseFrequencies.length).toBe(count)
    for (const [i, at] of index.entries()) {
      expect(Math.abs(inverseFrequencies[at]! / invFreq[i]! - 1)).toBeLessThan(1e-6)
    }
    expect(attentionScale).toBeCloseTo(rest.attentionScaling, 12)
  })

  test('only a part of the head turns', () => {
    const config = parseConfig({ ...tiny, head_dim: 16, partial_rotary_factor: 0.5 })
    expect(config.rope.rotaryDim).toBe(8)
    expect(ropeInverseFrequencies(config).inverseFrequencies.length).toBe(4)
  })
})

describe('forms', () => {
  test('defaults of a short llama file', () => {
    expect(parseConfig(tiny)).toMatchObject({
      numKvHeads: 4,
      headDim: 4,
      rmsNormEps: 1e-6,
      hiddenAct: 'silu',
      rope: { theta: 10_000, rotaryDim: 4, scaling: null },
      tieWordEmbeddings: null,
      attentionBias: null,
      slidingWindow: null,
      layerTypes: ['full', 'full', 'full', 'full'],
      dtype: 'f32',
      bosTokenId: null,
      eosTokenIds: [],
      padTokenId: null,
      quantization: null,
    })
  })

  test('the result is frozen to the leaves and shares nothing with the input', () => {
    const input = { ...tiny, quantization_config: { bits: 4, list: [{ a: 1 }] }, my_key: 3 }
    const config = parseConfig(input)
    expect(Object.isFrozen(config.layerTypes)).toBe(true)
    expect(Object.isFrozen(config.rope)).toBe(true)
    expect(config.quantization).toEqual({ bits: 4, list: [{ a: 1 }] })
    expect(Object.isFrozen((config.quantization as { list: unknown[] }).list[0])).toBe(true)
    expect(Object.isFrozen(input.quantization_config.list)).toBe(false)
    expect(config.raw['my_key']).toBe(3)
  })

  test('a text config inside another', () => {
    const { architectures, model_type: modelType, ...text } = tiny
    const outer = { architectures: ['LlavaForConditionalGeneration'], model_type: 'llava', tie_word_embeddings: true }
    const config = parseConfig({ ...outer, vocab_size: 5, text_config: { ...text, model_type: modelType } })
    expect(config).toMatchObject({ modelType: 'llava', vocabSize: 100, tieWordEmbeddings: true })
    expect(config.architecture).toBe(outer.architectures[0])
    expect(parseConfig({ text_config: tiny }).architecture).toBe(architectures[0])
  })

  test.each([
    [{}, [true, true, true, true]],
    [{ decoder_sparse_step: 2 }, [false, true, false, true]],
    [{ mlp_only_layers: [0, 3] }, [false, true, true, false]],
    [{ mlp_only_layers: [1], decoder_sparse_step: 2 }, [false, false, false, true]],
  ])('%j has experts in layers %j', (keys, sparseLayers) => {
    const experts = { num_experts: 8, num_experts_per_tok: 2, moe_intermediate_size: 24, norm_topk_prob: true }
    expect(parseConfig({ ...tiny, ...experts, ...keys }).experts).toEqual({
      numExperts: 8,
      numExpertsPerToken: 2,
      intermediateSize: 24,
      normTopkProb: true,
      sparseLayers,
    })
  })

  test('experts by other names, or none', () => {
    const mixtral = parseConfig({ ...tiny, num_local_experts: 4, num_experts_per_tok: 2 }).experts
    expect(mixtral).toMatchObject({ numExperts: 4, intermediateSize: 32, normTopkProb: null })
    expect(parseConfig(tiny).experts).toBeNull()
    expect(parseConfig({ ...tiny, num_experts: 0 }).experts).toBeNull()
  })

  test('token ids', () => {
    const ids = (ids: object) => parseConfig({ ...tiny, ...ids })
    expect(ids({ eos_token_id: [3, 4, 3] }).eosTokenIds).toEqual([3, 4])
    expect(ids({ eos_token_id: 0 }).eosTokenIds).toEqual([0])
    expect(ids({ eos_token_id: null, pad_token_id: -1, bos_token_id: 7 })).toMatchObject({
      eosTokenIds: [],
      padTokenId: null,
      bosTokenId: 7,
    })
  })

  test.each([
    [{ sliding_window: 8 }, [0, 1, 2, 3], 8],
    [{ sliding_window: 8, use_sliding_window: false, max_window_layers: 2 }, [], null],
    [{ sliding_window: 8, use_sliding_window: true, max_window_layers: 2 }, [2, 3], 8],
    [{ sliding_window: 8, use_sliding_window: true, max_window_layers: 0 }, [0, 1, 2, 3], 8],
    [{ sliding_window: 8, use_sliding_window: true }, [], null],
    [{ sliding_window: 8, max_window_layers: 2 }, [], null],
    [{ sliding_window: null }, [], null],
    [{ sliding_window: 8, sliding_window_pattern: 2 }, [0, 2], 8],
    [
      { sliding_window: 8, layer_types: ['sliding_attention', 'full_attention', 'attention', 'sliding_attention'] },
      [0, 3],
      8,
    ],
    [{ layer_types: Array.from({ length: 4 }, () => 'full_attention') }, [], null],
  ])('%j slides in layers %j', (keys, layers, window) => {
    const config = parseConfig({ ...tiny, ...keys })
    expect(slidingLayers(config)).toEqual(layers)
    expect(config.slidingWindow).toBe(window)
  })

  test.each([
    ['torch_dtype', 'bfloat16', 'bf16'],
    ['torch_dtype', 'torch.float16', 'f16'],
    ['dtype', 'float32', 'f32'],
  ])('%s %s', (key, name, dtype) => {
    expect(parseConfig({ ...tiny, [key]: name }).dtype).toBe(dtype)
  })

  test('rope in its places, by precedence', () => {
    const rope = (keys: object) => parseConfig({ ...tiny, ...keys }).rope
    expect(rope({ rope_theta: 5 }).theta).toBe(5)
    expect(rope({ rope_theta: 5, rope_parameters: { rope_theta: 7 } }).theta).toBe(7)
    expect(rope({ rope_scaling: {}, rope_parameters: { rope_theta: 7 } }).theta).toBe(7)
    expect(rope({ rope_scaling: { type: 'linear', factor: 2 } }).scaling).toEqual({ type: 'linear', factor: 2 })
    const llama3 = { rope_type: 'llama3', factor: 8, low_freq_factor: 1, high_freq_factor: 4 }
    expect(rope({ rope_scaling: llama3 }).scaling).toMatchObject({ originalMaxPositionEmbeddings: 64 })
    const yarn = { rope_type: 'yarn', original_max_position_embeddings: 16, beta_fast: 0, mscale: 0.7 }
    expect(rope({ rope_scaling: yarn, original_max_position_embeddings: 32 }).scaling).toEqual({
      type: 'yarn',
      factor: 2,
      originalMaxPositionEmbeddings: 32,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: null,
      mscale: 0.7,
      mscaleAllDim: null,
      truncate: true,
    })
    const same = { rope_type: 'default', rope_theta: 9 }
    expect(rope({ rope_parameters: { full_attention: same, sliding_attention: same } }).theta).toBe(9)
  })
})

describe('absurd values are refused with key, value and file', () => {
  test.each([
    ['vocab_size', 0],
    ['vocab_size', 1e12],
    ['vocab_size', '100'],
    ['hidden_size', -16],
    ['hidden_size', 16.5],
    ['hidden_size', 18],
    ['hidden_size', 2 ** 31],
    ['intermediate_size', []],
    ['num_hidden_layers', 1e9],
    ['num_attention_heads', true],
    ['num_key_value_heads', 3],
    ['num_key_value_heads', 0],
    ['head_dim', -1],
    ['max_position_embeddings', {}],
    ['rms_norm_eps', 0],
    ['rms_norm_eps', 'x'],
    ['hidden_act', 3],
    ['architectures', 'LlamaForCausalLM'],
    ['architectures', []],
    ['model_type', ''],
    ['tie_word_embeddings', 1],
    ['rope_theta', 0],
    ['partial_rotary_factor', 2],
    ['rope_scaling', 'linear'],
    ['eos_token_id', ['a']],
    ['eos_token_id', 1.5],
    ['bos_token_id', [1]],
    ['dtype', 'float8_e4m3fn'],
    ['torch_dtype', 16],
    ['sliding_window', 0],
    ['layer_types', ['full_attention']],
  ])('%s: %j', (key, value) => {
    const error = failure({ ...tiny, [key]: value })
    expect(error.kind).toBe('checkpoint')
    expect(error.message).toContain(`dir/config.json: "${key}" is ${JSON.stringify(value)}; expected`)
    expect(error.details).toEqual({ file: 'dir/config.json', key })
  })

  test.each(['vocab_size', 'hidden_size', 'intermediate_size', 'num_hidden_layers', 'num_attention_heads'])(
    'without %s',
    (key) => {
      const { [key]: _, ...rest } = tiny as Record<string, unknown>
      expect(failure(rest).message).toMatch(new RegExp(`"${key}".* is missing; expected a whole number of at least 1`))
    },
  )

  test.each([
    [{ rope_scaling: { type: 'linear' } }, '"rope_scaling.factor" is missing'],
    [{ rope_scaling: { type: 'linear', factor: -2 } }, '"rope_scaling.factor" is -2; expected a number above 0'],
    [
      { rope_scaling: { type: 'llama3', factor: 2, low_freq_factor: 4, high_freq_factor: 4 } },
      '"rope_scaling.high_freq_factor" is 4; expected more than low_freq_factor, 4',
    ],
    [{ rope_parameters: { rope_type: 'yarn', beta_fast: 'x' } }, '"rope_parameters.beta_fast" is "x"'],
    [{ partial_rotary_factor: 0.3 }, 'rope turns 1 of 4 dimensions of a head'],
    [{ layer_types: Array.from({ length: 4 }, () => 'sliding_attention') }, '"sliding_window" is missing'],
    [{ num_experts: 4 }, '"num_experts_per_tok" is missing'],
    [{ num_experts: 4, num_experts_per_tok: 5 }, '"num_experts_per_tok" is 5; expected at most the 4 experts'],
    [
      { num_experts: 4, num_experts_per_tok: 2, mlp_only_layers: [4] },
      '"mlp_only_layers" is [4]; expected a list of layers from 0 to 3',
    ],
  ])('%j', (keys, message) => {
    const error = failure({ ...tiny, ...keys })
    expect(error.kind).toBe('checkpoint')
    expect(error.message).toContain(message)
  })

  test.each([
    [{ rope_scaling: { rope_type: 'longrope', factor: 2 } }, 'has rope type "longrope"; supported are default, linear'],
    [
      { rope_parameters: { full_attention: { rope_theta: 1 }, sliding_attention: { rope_theta: 2 } } },
      'differs between layer types (full_attention, sliding_attention)',
    ],
    [{ rope_theta: 1e6, rope_local_base_freq: 1e4 }, '"rope_local_base_freq" differs from "rope_theta"'],
    [
      { layer_types: Array.from({ length: 4 }, () => 'linear_attention') },
      '"layer_types" has "linear_attention"; supported are',
    ],
  ])('%j is not supported', (keys, message) => {
    const error = failure({ ...tiny, ...keys })
    expect(error.kind).toBe('unsupported')
    expect(error.message).toContain(message)
  })

  test.each([[null], [[]], ['x'], [undefined]])('%j is no config', (json) => {
    expect(failure(json).message).toContain('dir/config.json: expected a JSON object, found')
  })
})
