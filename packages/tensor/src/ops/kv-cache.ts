import { bytesOf, roundTiesToEven, type DType } from '../dtype.ts'
import type { Device } from '../device.ts'
import { SlipwayError } from '../errors.ts'
import { expectInput, expectShape, type HostTensor, type Op } from '../op.ts'
import { colsOf, rowsOf, sizeOf, type Spec, type Tensor } from '../tensor.ts'
import type { View } from '../view.ts'
import { CaseRandom, given } from './random.ts'

/** The paged keys and values of one layer, [blocks, blockSize, numKvHeads * headDim] each. */
export interface KvCache {
  readonly keys: Tensor
  readonly values: Tensor
  /** For int8 keys and values: what each slot and head is multiplied by, f32 [blocks, blockSize, numKvHeads]. */
  readonly scales?: { readonly keys: Tensor; readonly values: Tensor } | undefined
}

export interface KvCacheShape {
  readonly numBlocks: number
  readonly blockSize: number
  readonly numKvHeads: number
  readonly headDim: number
}

/** Types in which keys and values can be kept. */
export const kvDtypes = ['f32', 'bf16', 'f16', 'i8'] as const satisfies DType[]
export type KvDtype = (typeof kvDtypes)[number]

/** An empty cache, laid out as the device likes it. */
export function kvCache(device: Device, shape: KvCacheShape, dtype: KvDtype): KvCache {
  const { numBlocks, blockSize, numKvHeads, headDim } = shape
  const elements = [numBlocks, blockSize, numKvHeads * headDim]
  const cache = { keys: device.cache('keys', elements, dtype), values: device.cache('values', elements, dtype) }
  if (dtype !== 'i8') return cache
  // scales of values too are lanes beside the weights of 16 keys
  const scales = (): Tensor => device.cache('keys', [numBlocks, blockSize, numKvHeads], 'f32')
  return { ...cache, scales: { keys: scales(), values: scales() } }
}

/** Bytes that a token takes in one layer. */
export function kvBytesPerToken(numKvHeads: number, headDim: number, dtype: KvDtype): number {
  return 2 * numKvHeads * (headDim * bytesOf(dtype) + (dtype === 'i8' ? bytesOf('f32') : 0))
}

/** The cache as ops take it. */
export function cacheInputs({
  keys,
  values,
  scales,
}: KvCache): [Tensor, Tensor, Tensor | undefined, Tensor | undefined] {
  return [keys, values, scales?.keys, scales?.values]
}

type Inputs = readonly (Spec | undefined)[]

/** Checks keys, values and their scales, which are there just when the type is i8. */
export function expectCache(op: string, [keyCache, valueCache, keyScales, valueScales]: Inputs): Spec {
  const keys = expectInput(op, keyCache, 'keyCache', 3, ...kvDtypes)
  const values = expectInput(op, valueCache, 'valueCache', 3, keys.dtype)
  expectShape(op, `${keys.shape}` === `${values.shape}`, () => `caches [${keys.shape}] and [${values.shape}]`)
  for (const [name, scales] of Object.entries({ keyScales, valueScales })) {
    expectShape(
      op,
      (scales !== undefined) === (keys.dtype === 'i8'),
      () => `${keys.dtype} caches and ${name}: one is amiss`,
    )
    if (!scales) continue
    expectInput(op, scales, name, 3, 'f32')
    const fits = rowsOf(scales) === rowsOf(keys) && colsOf(keys) % colsOf(scales) === 0
    expectShape(
      op,
      fits && colsOf(scales) === colsOf(valueScales!),
      () => `caches [${keys.shape}], ${name} [${scales.shape}]`,
    )
  }
  return keys
}

/** Stores a row of keys or of values in a slot; int8 ones as multiples of the largest element of their head / 127. */
export function writeSlot(
  cache: View,
  scales: View | undefined,
  slot: number,
  column: number,
  row: ArrayLike<number>,
): void {
  if (slot >= cache.rows) throw new SlipwayError('internal', `slot ${slot} of ${cache.rows}`)
  const width = scales ? cache.cols / scales.cols : row.length
  for (let start = 0; start < row.length; start += width) {
    let inverse = 0
    if (scales) {
      let largest = 0
      for (let c = start; c < start + width; c++) largest = Math.max(largest, Math.abs(row[c]!))
      inverse = largest > 0 ? Math.fround(127 / largest) : 0
      scales.set(slot, (column + start) / width, largest / 127)
    }
    for (let c = start; c < start + width; c++)
      cache.set(slot, column + c, scales ? roundTiesToEven(Math.fround(row[c]! * inverse)) : row[c]!)
  }
}

/** The keys or values of a slot as numbers, put into `into` from element `at` on. */
export function readSlot(cache: View, scales: View | undefined, slot: number, into: Float64Array, at: number): void {
  cache.row(slot, into, at)
  if (!scales) return
  const width = cache.cols / scales.cols
  for (let c = 0; c < cache.cols; c++) into[at + c]! *= scales.at(slot, Math.floor(c / width))
}

/**
 * Stores k and v [R, H * D] in the paged caches [blocks, blockSize, H * D]. Row r goes to slot
 * `block * blockSize + offset`; a negative slot is skipped.
 */
export const kvWriteOp: Op = {
  name: 'kvWrite',
  inputs: ['keyCache', 'valueCache', 'keyScales?', 'valueScales?', 'k', 'v', 'slots'],
  attributes: [],
  rowInputs: [4, 5, 6],
  updates: [0, 1, 2, 3],
  tolerance: { absolute: 0, relative: 0 },
  infer(inputs) {
    const [k, v, slots] = inputs.slice(4)
    const keys = expectCache('kvWrite', inputs)
    const a = expectInput('kvWrite', k, 'k', 2, 'f32')
    const b = expectInput('kvWrite', v, 'v', 2, 'f32')
    const s = expectInput('kvWrite', slots, 'slots', 1, 'i32')
    const fits = colsOf(keys) === colsOf(a) && colsOf(keys) === colsOf(b) && a.shape[0] === s.shape[0]
    expectShape(
      'kvWrite',
      fits && b.shape[0] === s.shape[0],
      () => `caches [${keys.shape}], k [${a.shape}], slots [${s.shape}]`,
    )
    return []
  },
  reference([keyCache, valueCache, keyScales, valueScales, k, v, slots]) {
    for (let r = 0; r < k!.rows; r++) {
      const slot = slots!.item(r)
      if (slot < 0) continue
      writeSlot(keyCache!, keyScales, slot, 0, k!.row(r))
      writeSlot(valueCache!, valueScales, slot, 0, v!.row(r))
    }
  },
  cost([keyCache, , , , k, v]) {
    return { flops: 0, bytes: (sizeOf(k!) + sizeOf(v!)) * (4 + bytesOf(keyCache!.dtype)) }
  },
  cases() {
    const random = new CaseRandom(8)
    return kvDtypes.flatMap((dtype) =>
      [5, 16].map((blockSize) => ({
        label: `${dtype}, blocks of ${blockSize}`,
        inputs: [
          ...cacheCase(random, { numBlocks: 3, blockSize, numKvHeads: 2, headDim: 12 }, dtype),
          random.normal([4, 24]),
          random.normal([4, 24]),
          given([7, -1, 0, 3 * blockSize - 1], [4], 'i32'),
        ],
        attributes: {},
      })),
    )
  },
}

/** Filled caches for op cases: keys, values and their scales. */
export function cacheCase(
  random: CaseRandom,
  { numBlocks, blockSize, numKvHeads, headDim }: KvCacheShape,
  dtype: KvDtype,
): (HostTensor | undefined)[] {
  const shape = [numBlocks, blockSize, numKvHeads * headDim]
  const elements = (role: 'keys' | 'values'): HostTensor =>
    dtype === 'i8' ? random.integers(shape, 128, dtype, role) : random.normal(shape, dtype, 1, role)
  const scales = (): HostTensor | undefined =>
    dtype === 'i8' ? random.normal([numBlocks, blockSize, numKvHeads], 'f32', 0.02, 'keys') : undefined
  return [elements('keys'), elements('values'), scales(), scales()]
}

export function kvWrite(cache: KvCache, k: Tensor, v: Tensor, slots: Tensor): void {
  k.device.record(kvWriteOp, [...cacheInputs(cache), k, v, slots], {})
}
