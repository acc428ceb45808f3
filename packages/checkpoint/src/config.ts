import { SlipwayError } from '@slipway/tensor'
import type { DType } from '@slipway/tensor'
import { parseExperts } from './experts-config.ts'
import type { ExpertsConfig } from './experts-config.ts'
import { Fields } from './fields.ts'
import { deepFreeze, isObject, show } from './json-file.ts'
import type { JsonObject } from './json-file.ts'
import { parseRope } from './rope-config.ts'
import type { RopeConfig } from './rope-config.ts'

export type LayerType = 'full' | 'sliding'

/**
 * What every decoder needs to know, from whichever names the checkpoint uses. Frozen to the leaves.
 * `null` means that the file says nothing and the architecture decides; what only one architecture knows is in `raw`.
 */
export interface ModelConfig {
  /** First of `architectures`, such as `LlamaForCausalLM`; empty when the file names none. */
  readonly architecture: string
  readonly modelType: string
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly intermediateSize: number
  readonly numLayers: number
  readonly numHeads: number
  readonly numKvHeads: number
  readonly headDim: number
  /** Positions the model was made for, in tokens. */
  readonly maxPositionEmbeddings: number
  /** Rows of the table of positions before the one of the first token; not counted in the positions. */
  readonly positionOffset: number
  /** Added to the variance in the norms, whether they are RMS or layer norms. */
  readonly rmsNormEps: number
  readonly hiddenAct: string
  readonly rope: RopeConfig
  readonly tieWordEmbeddings: boolean | null
  readonly attentionBias: boolean | null
  /** Positions that a sliding layer sees, in tokens; null when no layer slides. */
  readonly slidingWindow: number | null
  /** One per layer. */
  readonly layerTypes: readonly LayerType[]
  /** null for a dense model. */
  readonly experts: ExpertsConfig | null
  /** Of the stored weights. */
  readonly dtype: DType
  readonly bosTokenId: number | null
  readonly eosTokenIds: readonly number[]
  readonly padTokenId: number | null
  /** `quantization_config` as it stands in the file. */
  readonly quantization: unknown
  /** The whole file, with a nested `text_config` laid over it. */
  readonly raw: Readonly<Record<string, unknown>>
}

/** Keys of one thing, the most usual first: llama, then gpt2, then others. */
const keys = {
  hiddenSize: ['hidden_size', 'n_embd', 'd_model'],
  intermediateSize: ['intermediate_size', 'n_inner', 'ffn_dim'],
  numLayers: ['num_hidden_layers', 'n_layer', 'num_layers'],
  numHeads: ['num_attention_heads', 'n_head', 'num_heads'],
  positions: ['max_position_embeddings', 'n_positions', 'n_ctx', 'max_seq_len'],
  eps: ['rms_norm_eps', 'layer_norm_epsilon', 'layer_norm_eps', 'norm_eps', 'norm_epsilon'],
  act: ['hidden_act', 'activation_function', 'hidden_activation'],
} as const

const dtypeNames: ReadonlyMap<string, DType> = new Map([
  ['float32', 'f32'],
  ['float', 'f32'],
  ['bfloat16', 'bf16'],
  ['float16', 'f16'],
  ['half', 'f16'],
])

/**
 * Reads a `config.json` of the transformers library. `file` is only for messages.
 * Throws a `checkpoint` error with key, value and file for absurd values, `unsupported` for forms we do not have.
 */
export function parseConfig(json: unknown, file = 'config.json'): ModelConfig {
  if (!isObject(json)) {
    throw new SlipwayError('checkpoint', `${file}: expected a JSON object, found ${show(json)}`, { file })
  }
  const raw = structuredClone(flattenText(json))
  const fields = new Fields(raw, file)
  // gpt2 leaves out what its class knows
  const isGpt2Like = fields.has('n_embd')
  const hiddenSize = fields.count(...keys.hiddenSize)
  const numHeads = fields.count(...keys.numHeads)
  const numKvHeads = fields.integer(['num_key_value_heads']) ?? numHeads
  if (numHeads % numKvHeads !== 0) {
    throw fields.fault('num_key_value_heads', numKvHeads, `a divisor of the ${numHeads} attention heads`)
  }
  const numLayers = fields.integer(keys.numLayers, { max: 10_000 }) ?? fields.count(...keys.numLayers)
  const positionOffset = parsePositionOffset(fields)
  const maxPositionEmbeddings = fields.count(...keys.positions) - positionOffset
  if (maxPositionEmbeddings < 1) {
    const { key, value } = fields.find(...keys.positions)!
    throw fields.fault(key, value, `more than the ${positionOffset} positions before the first token's`)
  }
  const headDim = parseHeadDim(fields, hiddenSize, numHeads)
  const slidingWindow = parseSlidingWindow(fields)
  const layerTypes = parseLayerTypes(fields, numLayers, slidingWindow)
  const config: ModelConfig = {
    architecture: parseArchitecture(fields),
    modelType: fields.string('model_type') ?? '',
    vocabSize: fields.count('vocab_size'),
    hiddenSize,
    intermediateSize: isGpt2Like
      ? (fields.integer(keys.intermediateSize) ?? 4 * hiddenSize)
      : fields.count(...keys.intermediateSize),
    numLayers,
    numHeads,
    numKvHeads,
    headDim,
    maxPositionEmbeddings,
    positionOffset,
    rmsNormEps: fields.number(keys.eps, { min: 0, max: 1, above: true }) ?? (isGpt2Like ? 1e-5 : 1e-6),
    hiddenAct: fields.string(...keys.act) ?? (isGpt2Like ? 'gelu_new' : 'silu'),
    rope: parseRope(fields, headDim, maxPositionEmbeddings),
    tieWordEmbeddings: fields.boolean('tie_word_embeddings') ?? null,
    attentionBias: fields.boolean('attention_bias') ?? null,
    slidingWindow: layerTypes.includes('sliding') ? slidingWindow : null,
    layerTypes,
    experts: parseExperts(fields, numLayers),
    dtype: parseDtype(fields),
    bosTokenId: fields.tokenId('bos_token_id'),
    eosTokenIds: fields.tokenIds('eos_token_id'),
    padTokenId: fields.tokenId('pad_token_id'),
    quantization: raw['quantization_config'] ?? null,
    raw,
  }
  return deepFreeze(config)
}

/** Models that also see or hear keep the decoder's config in `text_config`; its values win, the names stay outside. */
function flattenText(json: JsonObject): JsonObject {
  const text = json['text_config']
  if (!isObject(text)) return json
  const { architectures = text['architectures'], model_type: modelType = text['model_type'] } = json
  return { ...json, ...text, architectures, model_type: modelType }
}

/** RoBERTa and its kin count positions from the one behind the padding token's id. */
function parsePositionOffset(fields: Fields): number {
  const isRoberta = ['roberta', 'xlm-roberta', 'camembert'].includes(fields.string('model_type') ?? '')
  return isRoberta ? (fields.tokenId('pad_token_id') ?? 1) + 1 : 0
}

function parseArchitecture(fields: Fields): string {
  const value = fields.json['architectures']
  if (value === undefined || value === null) return ''
  const first: unknown = Array.isArray(value) ? value[0] : undefined
  if (typeof first !== 'string') throw fields.fault('architectures', value, 'a list of class names')
  return first
}

/** What a class of the transformers library takes when a file has no `head_dim`; others divide the hidden size. */
const classHeadDims: Readonly<Record<string, number>> = { qwen3: 128 }

function parseHeadDim(fields: Fields, hiddenSize: number, numHeads: number): number {
  const given = fields.integer(['head_dim'])
  if (given !== undefined) return given
  const ofClass = classHeadDims[fields.string('model_type') ?? '']
  if (ofClass !== undefined) return ofClass
  if (hiddenSize % numHeads === 0) return hiddenSize / numHeads
  const { key, value } = fields.find(...keys.hiddenSize)!
  throw fields.fault(key, value, `a multiple of the ${numHeads} attention heads, or "head_dim"`)
}

/**
 * The window if the model uses one at all. Files with `max_window_layers` (the Qwen2 form) switch it on with
 * `use_sliding_window`, off by default; others, as Mistral, just by giving `sliding_window`.
 */
function parseSlidingWindow(fields: Fields): number | null {
  const window = fields.integer(['sliding_window']) ?? null
  const isOn = fields.boolean('use_sliding_window') ?? !fields.has('max_window_layers')
  return isOn ? window : null
}

function parseLayerTypes(fields: Fields, numLayers: number, slidingWindow: number | null): LayerType[] {
  if (fields.has('layer_types')) return parseListedTypes(fields, numLayers, slidingWindow)
  if (slidingWindow === null) return Array.from({ length: numLayers }, () => 'full' as const)
  // every n-th layer sees everything (Gemma 3, Cohere 2)
  const pattern = fields.integer(['sliding_window_pattern'])
  // 28 is the default of the classes that have `use_sliding_window`
  const first = fields.has('use_sliding_window') ? (fields.integer(['max_window_layers'], { min: 0 }) ?? 28) : 0
  return Array.from({ length: numLayers }, (_, layer) => {
    const slides = pattern === undefined ? layer >= first : (layer + 1) % pattern !== 0
    return slides ? 'sliding' : 'full'
  })
}

function parseListedTypes(fields: Fields, numLayers: number, slidingWindow: number | null): LayerType[] {
  const value = fields.json['layer_types']
  if (!Array.isArray(value) || value.length !== numLayers) {
    throw fields.fault('layer_types', value, `a list with one entry for each of the ${numLayers} layers`)
  }
  const types = value.map((type): LayerType => {
    if (type === 'full_attention' || type === 'attention') return 'full'
    if (type === 'sliding_attention') return 'sliding'
    const message = `${fields.file}: "layer_types" has ${show(type)}; supported are full_attention, sliding_attention`
    throw new SlipwayError('unsupported', message, { file: fields.file, key: 'layer_types' })
  })
  if (slidingWindow === null && types.includes('sliding')) {
    throw fields.missing(['sliding_window'], 'a whole number of at least 1, as "layer_types" has sliding layers')
  }
  return types
}

function parseDtype(fields: Fields): DType {
  const found = fields.find('dtype', 'torch_dtype')
  // what torch makes when a config says nothing
  if (!found) return 'f32'
  const dtype = typeof found.value === 'string' ? dtypeNames.get(found.value.replace(/^torch\./, '')) : undefined
  if (!dtype) throw fields.fault(found.key, found.value, `one of ${[...dtypeNames.keys()].join(', ')}`)
  return dtype
}
