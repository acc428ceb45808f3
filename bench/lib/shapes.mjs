// @ts-check
/**
 * @typedef {object} Shape
 * @property {'qwen2' | 'llama' | 'qwen3_moe'} modelType
 * @property {number} vocab
 * @property {number} hidden
 * @property {number} intermediate of the dense feed-forward layers, or of one expert
 * @property {number} layers
 * @property {number} heads
 * @property {number} kvHeads
 * @property {number} headDim
 * @property {boolean} tied whether the embedding is also the head
 * @property {number} ropeTheta
 * @property {number} positions
 * @property {{ count: number, used: number }} [experts]
 */

/** @type {Readonly<Record<string, Shape>>} */
export const shapes = {
  'qwen2.5-0.5b': {
    modelType: 'qwen2',
    vocab: 151936,
    hidden: 896,
    intermediate: 4864,
    layers: 24,
    heads: 14,
    kvHeads: 2,
    headDim: 64,
    tied: true,
    ropeTheta: 1e6,
    positions: 32768,
  },
  'qwen2.5-1.5b': {
    modelType: 'qwen2',
    vocab: 151936,
    hidden: 1536,
    intermediate: 8960,
    layers: 28,
    heads: 12,
    kvHeads: 2,
    headDim: 128,
    tied: true,
    ropeTheta: 1e6,
    positions: 32768,
  },
  'llama-3.1-8b': {
    modelType: 'llama',
    vocab: 128256,
    hidden: 4096,
    intermediate: 14336,
    layers: 32,
    heads: 32,
    kvHeads: 8,
    headDim: 128,
    tied: false,
    ropeTheta: 5e5,
    positions: 131072,
  },
  'qwen3-30b-a3b': {
    modelType: 'qwen3_moe',
    vocab: 151936,
    hidden: 2048,
    intermediate: 768,
    layers: 48,
    heads: 32,
    kvHeads: 4,
    headDim: 128,
    tied: false,
    ropeTheta: 1e6,
    positions: 40960,
    experts: { count: 128, used: 8 },
  },
  /** A mixture that fits everywhere; 0.9 billion parameters, a fifth of them for one token. */
  'moe-1b': {
    modelType: 'qwen3_moe',
    vocab: 32768,
    hidden: 1024,
    intermediate: 512,
    layers: 16,
    heads: 16,
    kvHeads: 4,
    headDim: 64,
    tied: true,
    ropeTheta: 1e6,
    positions: 32768,
    experts: { count: 32, used: 4 },
  },
  /** For trying the commands out; its figures say nothing. */
  tiny: {
    modelType: 'qwen2',
    vocab: 2048,
    hidden: 256,
    intermediate: 512,
    layers: 2,
    heads: 4,
    kvHeads: 2,
    headDim: 64,
    tied: true,
    ropeTheta: 1e4,
    positions: 32768,
  },
}

/**
 * One tensor under both of its names. In the checkpoint the experts of a layer are matrices of their own, in GGUF they
 * are one tensor with an axis more.
 *
 * @typedef {object} ModelTensor
 * @property {'embedding' | 'head' | 'linear' | 'vector' | 'router'} role
 * @property {readonly string[]} names in the checkpoint
 * @property {string} gguf
 * @property {readonly number[]} dims outermost first, experts left out
 * @property {number} share of it that is read for one token
 */

/**
 * All tensors of a model of this shape.
 *
 * @param {Shape} shape
 * @returns {ModelTensor[]}
 */
export function tensorsOf(shape) {
  const { vocab, hidden, tied } = shape
  return [
    // an embedding that is no head gives one row
    { ...one('embedding', 'model.embed_tokens.weight', 'token_embd.weight', vocab, hidden), share: tied ? 1 : 0 },
    ...Array.from({ length: shape.layers }, (_, i) => layerTensors(shape, i)).flat(),
    one('vector', 'model.norm.weight', 'output_norm.weight', hidden),
    ...(tied ? [] : [one('head', 'lm_head.weight', 'output.weight', vocab, hidden)]),
  ]
}

/**
 * @param {Shape} shape
 * @param {number} i
 * @returns {ModelTensor[]}
 */
function layerTensors(shape, i) {
  const { modelType, hidden, intermediate, headDim, experts } = shape
  const q = shape.heads * headDim
  const kv = shape.kvHeads * headDim
  const [hf, gguf] = [`model.layers.${i}`, `blk.${i}`]
  /** @type {readonly (readonly [string, string, number])[]} */
  const projections = [
    ['q_proj', 'attn_q', q],
    ['k_proj', 'attn_k', kv],
    ['v_proj', 'attn_v', kv],
  ]
  /** @type {readonly (readonly [string, string, number, number])[]} */
  const mlp = [
    ['gate_proj', 'ffn_gate', intermediate, hidden],
    ['up_proj', 'ffn_up', intermediate, hidden],
    ['down_proj', 'ffn_down', hidden, intermediate],
  ]
  return [
    one('vector', `${hf}.input_layernorm.weight`, `${gguf}.attn_norm.weight`, hidden),
    ...projections.flatMap(([from, to, rows]) => [
      one('linear', `${hf}.self_attn.${from}.weight`, `${gguf}.${to}.weight`, rows, hidden),
      ...(modelType === 'qwen2' ? [one('vector', `${hf}.self_attn.${from}.bias`, `${gguf}.${to}.bias`, rows)] : []),
    ]),
    ...(modelType === 'qwen3_moe'
      ? ['q', 'k'].map((p) =>
          one('vector', `${hf}.self_attn.${p}_norm.weight`, `${gguf}.attn_${p}_norm.weight`, headDim),
        )
      : []),
    one('linear', `${hf}.self_attn.o_proj.weight`, `${gguf}.attn_output.weight`, hidden, q),
    one('vector', `${hf}.post_attention_layernorm.weight`, `${gguf}.ffn_norm.weight`, hidden),
    ...(experts ? [one('router', `${hf}.mlp.gate.weight`, `${gguf}.ffn_gate_inp.weight`, experts.count, hidden)] : []),
    ...mlp.map(([from, to, rows, cols]) => {
      if (!experts) return one('linear', `${hf}.mlp.${from}.weight`, `${gguf}.${to}.weight`, rows, cols)
      const names = Array.from({ length: experts.count }, (_, e) => `${hf}.mlp.experts.${e}.${from}.weight`)
      const share = experts.used / experts.count
      return { ...one('linear', '', `${gguf}.${to}_exps.weight`, rows, cols), names, share }
    }),
  ]
}

/**
 * @param {ModelTensor['role']} role
 * @param {string} name
 * @param {string} gguf
 * @param {number[]} dims
 * @returns {ModelTensor}
 */
function one(role, name, gguf, ...dims) {
  return { role, names: [name], gguf, dims, share: 1 }
}

/**
 * Weights of a shape by what becomes of them.
 *
 * @param {Shape} shape
 */
export function weightCounts(shape) {
  const counts = { matrices: 0, others: 0 }
  for (const { role, names, dims } of tensorsOf(shape))
    counts[role === 'linear' || role === 'head' ? 'matrices' : 'others'] +=
      names.length * dims.reduce((a, b) => a * b, 1)
  return counts
}

/**
 * Bytes of keys and values, at two bytes a number, of one token of context.
 *
 * @param {Shape} shape
 */
export const kvBytesPerToken = ({ layers, kvHeads, headDim }) => 2 * layers * kvHeads * headDim * 2
