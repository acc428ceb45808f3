// @ts-check
import { open, rename } from 'node:fs/promises'
import { Bytes } from './gguf-bytes.mjs'
import { f16Bits, normalPair, Pattern } from './random-bytes.mjs'

/**
 * Block formats of GGUF (ggml's docs/gguf.md and ggml-common.h): number in the file, values and bytes of a block, and
 * how to make a random block whose values have a deviation of about 0.02.
 *
 * @typedef {object} BlockType
 * @property {number} id
 * @property {number} values
 * @property {number} bytes
 * @property {(block: Uint8Array, next: () => number) => void} fill
 */

/** @type {Readonly<Record<'f32' | 'q4_0' | 'q8_0' | 'q6_k', BlockType>>} */
export const blockTypes = {
  f32: {
    id: 0,
    values: 1,
    bytes: 4,
    fill: (block, next) => view(block).setFloat32(0, 0.02 * normalPair(next)[0], true),
  },
  // scale, then two values a byte; uniform over 16 steps has a deviation of 4.6 steps
  q4_0: { id: 2, values: 32, bytes: 18, fill: (block, next) => noise(block, next, 0, 0.02 / 4.6) },
  // scale, then signed bytes
  q8_0: { id: 8, values: 32, bytes: 34, fill: (block, next) => noise(block, next, 0, 0.02 / 74) },
  // low halves, upper two bits, 16 scales of runs, scale of scales
  q6_k: {
    id: 14,
    values: 256,
    bytes: 210,
    fill(block, next) {
      noise(block, next, 208, 0.02 / 18.5 / 8)
      block.fill(8, 192, 208)
    },
  },
}

/** @param {Uint8Array} block */
const view = (block) => new DataView(block.buffer, block.byteOffset, block.byteLength)

/**
 * @param {Uint8Array} block
 * @param {() => number} next
 * @param {number} scaleAt
 * @param {number} scale
 */
function noise(block, next, scaleAt, scale) {
  for (let i = 0; i < block.length; i++) block[i] = Math.floor(256 * next())
  view(block).setUint16(scaleAt, f16Bits(scale), true)
}

/**
 * A tensor of random values, or of a constant in f32.
 *
 * @typedef {object} GgufTensor
 * @property {string} name
 * @property {keyof typeof blockTypes} type
 * @property {readonly number[]} dims innermost first, as GGUF has it
 * @property {number} [constant]
 */

/** @typedef {readonly [key: string, type: import('./gguf-bytes.mjs').MetadataType, value: unknown]} Metadata */

/** @param {GgufTensor} tensor */
export function byteLengthOf({ type, dims }) {
  const { values, bytes } = blockTypes[type]
  return (dims.reduce((a, b) => a * b, 1) / values) * bytes
}

const alignment = 32
/** @param {number} n */
const aligned = (n) => Math.ceil(n / alignment) * alignment

/**
 * Writes a GGUF file, version 3. It appears under its name when it is whole.
 *
 * @param {string} path
 * @param {readonly Metadata[]} metadata
 * @param {readonly GgufTensor[]} tensors
 */
export async function writeGguf(path, metadata, tensors) {
  const header = new Bytes().text('GGUF', false).u32(3).u64(tensors.length).u64(metadata.length)
  for (const [key, type, value] of metadata) header.text(key).value(type, value)
  let offset = 0
  for (const tensor of tensors) {
    header.text(tensor.name).u32(tensor.dims.length)
    for (const dim of tensor.dims) header.u64(dim)
    header.u32(blockTypes[tensor.type].id).u64(offset)
    offset += aligned(byteLengthOf(tensor))
  }
  const temporary = `${path}.tmp`
  const handle = await open(temporary, 'w')
  const head = header.all()
  await handle.writeFile(Buffer.concat([head, Buffer.alloc(aligned(head.length) - head.length)]))
  /** @type {Map<string, Pattern>} */
  const patterns = new Map()
  for (const [i, tensor] of tensors.entries()) {
    const { bytes, fill } = blockTypes[tensor.type]
    const data = Buffer.alloc(aligned(byteLengthOf(tensor)))
    const pattern = patterns.get(tensor.type) ?? new Pattern(bytes, fill)
    patterns.set(tensor.type, pattern)
    if (tensor.constant === undefined) pattern.writeTo(data.subarray(0, byteLengthOf(tensor)), i)
    else new Float32Array(data.buffer, data.byteOffset, data.length / 4).fill(tensor.constant)
    await handle.writeFile(data)
  }
  await handle.sync()
  await handle.close()
  await rename(temporary, path)
}
