// @ts-check
import { byteLengthOf, writeGguf } from './gguf.mjs'
import { kvBytesPerToken, tensorsOf } from './shapes.mjs'
import { vocabulary } from './vocabulary.mjs'

/** @typedef {import('./shapes.mjs').Shape} Shape */
/** @typedef {import('./shapes.mjs').ModelTensor} ModelTensor */
/** @typedef {import('./gguf.mjs').GgufTensor} GgufTensor */
/** @typedef {import('./gguf.mjs').Metadata} Metadata */

const ggufNames = { qwen2: 'qwen2', llama: 'llama', qwen3_moe: 'qwen3moe' }
const splitters = { qwen2: 'qwen2', llama: 'llama-bpe', qwen3_moe: 'qwen2' }

/**
 * Writes the same shape for peers of the llama.cpp family, in the types that its own quantiser chooses for Q4_0: the head
 * (or the embedding that serves as one) has six bits where its rows allow it, else eight.
 *
 * @param {string} path
 * @param {Shape} shape
 */
export function writeGgufModel(path, shape) {
  return writeGguf(
    path,
    metadataOf(shape),
    tensorsOf(shape).map((tensor) => ggufTensor(tensor, shape)),
  )
}

/**
 * Bytes that a peer reads for one token at this length of context, f16 keys and values included.
 *
 * @param {Shape} shape
 * @param {number} context
 */
export function ggufBytesPerToken(shape, context) {
  const weights = tensorsOf(shape).map((tensor) => tensor.share * byteLengthOf(ggufTensor(tensor, shape)))
  return weights.reduce((a, b) => a + b, context * kvBytesPerToken(shape))
}

/**
 * @param {ModelTensor} tensor
 * @param {Shape} shape
 * @returns {GgufTensor}
 */
function ggufTensor({ role, names, gguf, dims }, { tied }) {
  const inner = [...dims].reverse()
  const experts = names.length > 1 ? [names.length] : []
  const base = { name: gguf, dims: [...inner, ...experts] }
  if (role === 'vector') return { ...base, type: 'f32', constant: gguf.endsWith('.bias') ? 0 : 1 }
  if (role === 'router') return { ...base, type: 'f32' }
  const isHead = role === 'head' || (role === 'embedding' && tied)
  if (!isHead) return { ...base, type: 'q4_0' }
  return { ...base, type: inner[0] % 256 === 0 ? 'q6_k' : 'q8_0' }
}

/**
 * @param {Shape} shape
 * @returns {Metadata[]}
 */
function metadataOf(shape) {
  const { vocab, experts } = shape
  const name = ggufNames[shape.modelType]
  const { tokens, merges } = vocabulary(vocab)
  const normalToken = 1
  const controlToken = 3
  /** @type {Metadata[]} */
  const forExperts = experts
    ? [
        [`${name}.expert_count`, 'u32', experts.count],
        [`${name}.expert_used_count`, 'u32', experts.used],
        [`${name}.expert_feed_forward_length`, 'u32', shape.intermediate],
      ]
    : []
  return [
    ['general.architecture', 'string', name],
    ['general.name', 'string', 'random weights'],
    ['general.file_type', 'u32', 2],
    ['general.quantization_version', 'u32', 2],
    [`${name}.block_count`, 'u32', shape.layers],
    [`${name}.context_length`, 'u32', shape.positions],
    [`${name}.embedding_length`, 'u32', shape.hidden],
    [`${name}.feed_forward_length`, 'u32', shape.intermediate],
    [`${name}.attention.head_count`, 'u32', shape.heads],
    [`${name}.attention.head_count_kv`, 'u32', shape.kvHeads],
    [`${name}.attention.key_length`, 'u32', shape.headDim],
    [`${name}.attention.value_length`, 'u32', shape.headDim],
    [`${name}.attention.layer_norm_rms_epsilon`, 'f32', 1e-6],
    [`${name}.rope.dimension_count`, 'u32', shape.headDim],
    [`${name}.rope.freq_base`, 'f32', shape.ropeTheta],
    ...forExperts,
    ['tokenizer.ggml.model', 'string', 'gpt2'],
    ['tokenizer.ggml.pre', 'string', splitters[shape.modelType]],
    ['tokenizer.ggml.tokens', 'strings', tokens],
    ['tokenizer.ggml.token_type', 'i32s', tokens.map((_, id) => (id === vocab - 1 ? controlToken : normalToken))],
    ['tokenizer.ggml.merges', 'strings', merges],
    ['tokenizer.ggml.eos_token_id', 'u32', vocab - 1],
    ['tokenizer.ggml.add_bos_token', 'bool', false],
  ]
}
