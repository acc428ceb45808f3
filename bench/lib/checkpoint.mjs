// @ts-check
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writeSafetensors } from '@slipway/checkpoint'
import { bf16Bits, normalPair, Pattern } from './random-bytes.mjs'
import { tensorsOf } from './shapes.mjs'
import { tokenizerJson } from './vocabulary.mjs'

/** @typedef {import('./shapes.mjs').Shape} Shape */
/** @typedef {import('@slipway/checkpoint').TensorToWrite} TensorToWrite */

const architectures = { qwen2: 'Qwen2ForCausalLM', llama: 'LlamaForCausalLM', qwen3_moe: 'Qwen3MoeForCausalLM' }
const maxShardBytes = 2 ** 31

/**
 * The config.json of a shape, with the names of the transformers library.
 *
 * @param {Shape} shape
 * @returns {Record<string, unknown>}
 */
export function configOf(shape) {
  const { experts } = shape
  return {
    architectures: [architectures[shape.modelType]],
    model_type: shape.modelType,
    vocab_size: shape.vocab,
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    max_position_embeddings: shape.positions,
    rms_norm_eps: 1e-6,
    rope_theta: shape.ropeTheta,
    hidden_act: 'silu',
    tie_word_embeddings: shape.tied,
    torch_dtype: 'bfloat16',
    eos_token_id: shape.vocab - 1,
    ...(experts && {
      num_experts: experts.count,
      num_experts_per_tok: experts.used,
      moe_intermediate_size: shape.intermediate,
      norm_topk_prob: true,
    }),
  }
}

/**
 * Writes a checkpoint in Hugging Face form with random bf16 weights: normal with deviation 0.02, norms 1, biases 0. All
 * tensors are views of one buffer as large as the largest of them, so 16 GB are written from 1 GB of memory.
 *
 * @param {string} directory
 * @param {Shape} shape
 */
export async function writeCheckpoint(directory, shape) {
  await mkdir(directory, { recursive: true })
  const entries = tensorsOf(shape).flatMap(({ role, names, dims }) => names.map((name) => ({ role, name, dims })))
  const sizeOf = (/** @type {readonly number[]} */ dims) => 2 * dims.reduce((a, b) => a * b, 1)
  const noise = new Uint8Array(Math.max(...entries.map(({ dims }) => sizeOf(dims))) + 2 * entries.length)
  new Pattern(4, fillPair, 1048573).writeTo(noise)
  const ones = new Uint8Array(
    Uint16Array.from({ length: Math.max(shape.hidden, shape.headDim) }, () => bf16Bits(1)).buffer,
  )
  const zeros = new Uint8Array(2 * shape.heads * shape.headDim)

  /** @type {TensorToWrite[]} */
  const tensors = entries.map(({ role, name, dims }, i) => {
    const source = role !== 'vector' ? noise.subarray(2 * i) : name.endsWith('.bias') ? zeros : ones
    return { name, dtype: 'bf16', shape: dims, bytes: source.subarray(0, sizeOf(dims)) }
  })
  await writeShards(directory, tensors)
  const json = (/** @type {string} */ name, /** @type {unknown} */ content) =>
    writeFile(join(directory, name), `${JSON.stringify(content)}\n`)
  await json('config.json', configOf(shape))
  await json('tokenizer.json', tokenizerJson(shape.vocab))
}

/** @param {Uint8Array} block @param {() => number} next */
function fillPair(block, next) {
  const view = new DataView(block.buffer, block.byteOffset)
  for (const [i, value] of normalPair(next).entries()) view.setUint16(2 * i, bf16Bits(0.02 * value), true)
}

/**
 * @param {string} directory
 * @param {readonly TensorToWrite[]} tensors
 */
async function writeShards(directory, tensors) {
  /** @type {TensorToWrite[][]} */
  const shards = [[]]
  let bytes = 0
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + tensor.bytes.length > maxShardBytes) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)?.push(tensor)
    bytes += tensor.bytes.length
  }
  if (shards.length === 1) return writeSafetensors(join(directory, 'model.safetensors'), shards[0])
  const number = (/** @type {number} */ n) => String(n).padStart(5, '0')
  const fileOf = (/** @type {number} */ i) => `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`
  for (const [i, shard] of shards.entries()) await writeSafetensors(join(directory, fileOf(i)), shard)
  const places = shards.flatMap((shard, i) => shard.map(({ name }) => [name, fileOf(i)]))
  const index = { metadata: {}, weight_map: Object.fromEntries(places) }
  return writeFile(join(directory, 'model.safetensors.index.json'), JSON.stringify(index))
}
