import { bytesOf } from '../dtype.ts'
import { SlipwayError } from '../errors.ts'
import { expectInput, expectShape, type Op, type OpCase } from '../op.ts'
import { colsOf, sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom, given } from './random.ts'

/**
 * Stores k and v [R, H * D] in the paged caches [blocks, blockSize, H * D]. Row r goes to slot
 * `block * blockSize + offset`; a negative slot is skipped.
 */
export const kvWriteOp: Op = {
  name: 'kvWrite',
  inputs: ['keyCache', 'valueCache', 'k', 'v', 'slots'],
  attributes: [],
  rowInputs: [2, 3, 4],
  updates: [0, 1],
  tolerance: { absolute: 0, relative: 0 },
  infer([keyCache, valueCache, k, v, slots]) {
    const keys = expectInput('kvWrite', keyCache, 'keyCache', 3, 'f32', 'bf16', 'f16')
    const values = expectInput('kvWrite', valueCache, 'valueCache', 3, keys.dtype)
    const a = expectInput('kvWrite', k, 'k', 2, 'f32')
    const b = expectInput('kvWrite', v, 'v', 2, 'f32')
    const s = expectInput('kvWrite', slots, 'slots', 1, 'i32')
    const fits = colsOf(keys) === colsOf(a) && colsOf(values) === colsOf(b) && a.shape[0] === s.shape[0]
    expectShape(
      'kvWrite',
      fits && b.shape[0] === s.shape[0],
      () => `caches [${keys.shape}], k [${a.shape}], slots [${s.shape}]`,
    )
    return []
  },
  reference([keyCache, valueCache, k, v, slots]) {
    for (let r = 0; r < k!.rows; r++) {
      const slot = slots!.item(r)
      if (slot < 0) continue
      if (slot >= keyCache!.rows) throw new SlipwayError('internal', `kvWrite: slot ${slot} of ${keyCache!.rows}`)
      for (let c = 0; c < k!.cols; c++) keyCache!.set(slot, c, k!.at(r, c))
      for (let c = 0; c < v!.cols; c++) valueCache!.set(slot, c, v!.at(r, c))
    }
  },
  cost([keyCache, , k, v]) {
    return { flops: 0, bytes: (sizeOf(k!) + sizeOf(v!)) * (4 + bytesOf(keyCache!.dtype)) }
  },
  cases() {
    const random = new CaseRandom(8)
    return (['f32', 'bf16', 'f16'] as const).map((dtype) => ({
      label: dtype,
      inputs: [
        random.normal([3, 5, 24], dtype),
        random.normal([3, 5, 24], dtype),
        random.normal([4, 24]),
        random.normal([4, 24]),
        given([7, -1, 0, 14], [4], 'i32'),
      ],
      attributes: {},
    }))
  },
}

/**
 * Causal attention over paged keys and values, for prefill and decode alike. Row r of q [R, numHeads * headDim] stands at
 * `positions[r]` of sequence `sequences[r]` and sees that sequence's keys 0..position; with `window` > 0 only the last
 * `window` of them. Key j of sequence s lies in block `blockTables[s, j / blockSize]`. Query heads share key heads in
 * order (grouped-query attention, Ainslie et al. 2023).
 */
export const attentionOp: Op = {
  name: 'attention',
  inputs: ['q', 'keyCache', 'valueCache', 'blockTables', 'sequences', 'positions'],
  attributes: ['numHeads', 'numKvHeads', 'scale', 'window'],
  rowInputs: [0, 4, 5],
  tolerance: { absolute: 2e-5, relative: 2e-5 },
  infer([q, keyCache, valueCache, blockTables, sequences, positions], { numHeads, numKvHeads }) {
    const a = expectInput('attention', q, 'q', 2, 'f32')
    const keys = expectInput('attention', keyCache, 'keyCache', 3, 'f32', 'bf16', 'f16')
    const values = expectInput('attention', valueCache, 'valueCache', 3, keys.dtype)
    expectInput('attention', blockTables, 'blockTables', 2, 'i32')
    const rows = expectInput('attention', sequences, 'sequences', 1, 'i32')
    const at = expectInput('attention', positions, 'positions', 1, 'i32')
    expectShape('attention', rows.shape[0] === a.shape[0] && at.shape[0] === a.shape[0], () => `q is [${a.shape}]`)
    expectShape('attention', numHeads! % numKvHeads! === 0, () => `${numHeads} heads over ${numKvHeads}`)
    const fits = colsOf(a) / numHeads! === colsOf(keys) / numKvHeads! && colsOf(keys) === colsOf(values)
    expectShape(
      'attention',
      fits,
      () => `q [${a.shape}] and caches [${keys.shape}] with ${numHeads}/${numKvHeads} heads`,
    )
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference(
    [q, keyCache, valueCache, blockTables, sequences, positions],
    [out],
    { numHeads, numKvHeads, scale, window },
  ) {
    const headDim = q!.cols / numHeads!
    const blockSize = keyCache!.shape[1]!
    for (let r = 0; r < q!.rows; r++) {
      const last = positions!.item(r)
      const first = window! > 0 ? Math.max(0, last - window! + 1) : 0
      const rowOf = (j: number): number =>
        blockTables!.at(sequences!.item(r), Math.floor(j / blockSize)) * blockSize + (j % blockSize)
      for (let head = 0; head < numHeads!; head++) {
        const kvColumn = Math.floor(head / (numHeads! / numKvHeads!)) * headDim
        const scores = new Float64Array(last - first + 1)
        for (let j = first; j <= last; j++) {
          let dot = 0
          for (let c = 0; c < headDim; c++) dot += q!.at(r, head * headDim + c) * keyCache!.at(rowOf(j), kvColumn + c)
          scores[j - first] = dot * scale!
        }
        const max = scores.reduce((a, b) => Math.max(a, b), -Infinity)
        const weights = scores.map((score) => Math.exp(score - max))
        const total = weights.reduce((a, b) => a + b, 0)
        for (let c = 0; c < headDim; c++) {
          let sum = 0
          for (let j = first; j <= last; j++) sum += weights[j - first]! * valueCache!.at(rowOf(j), kvColumn + c)
          out!.set(r, head * headDim + c, sum / total)
        }
      }
    }
  },
  cost([q, keyCache, , blockTables], _outputs, { window }, values) {
    const [sequences, positions] = [values?.[4], values?.[5]]
    const capacity = blockTables!.shape[1]! * keyCache!.shape[1]!
    const { pairs, keys } =
      sequences && positions
        ? keysSeen(sequences, positions, window!)
        : { pairs: q!.shape[0]! * capacity, keys: blockTables!.shape[0]! * capacity }
    return {
      flops: 4 * colsOf(q!) * pairs,
      bytes: 2 * keys * colsOf(keyCache!) * bytesOf(keyCache!.dtype) + 8 * sizeOf(q!),
    }
  },
  cases() {
    const random = new CaseRandom(9)
    const cases: OpCase[] = []
    for (const dtype of ['f32', 'bf16', 'f16'] as const)
      for (const [numHeads, numKvHeads, headDim, blockSize, window] of [
        [1, 1, 2, 1, 0],
        [4, 1, 16, 4, 0],
        [4, 2, 12, 7, 5],
        [6, 6, 32, 16, 0],
        [8, 2, 64, 64, 40],
        [14, 2, 64, 32, 0],
      ] as const) {
        // two sequences over shuffled blocks; rows at the start, in the middle and at the end
        const blocks = Math.ceil(100 / blockSize)
        const tables = random.integers([2, blocks], blocks * 2)
        const positions = [0, 1, 31, 32, 50, 99]
        cases.push({
          label: `${numHeads}/${numKvHeads} heads of ${headDim}, blocks of ${blockSize}, window ${window}, ${dtype}`,
          inputs: [
            random.normal([positions.length, numHeads * headDim]),
            random.normal([blocks * 2, blockSize, numKvHeads * headDim], dtype),
            random.normal([blocks * 2, blockSize, numKvHeads * headDim], dtype),
            tables,
            given([0, 1, 0, 1, 0, 1], [positions.length], 'i32'),
            given(positions, [positions.length], 'i32'),
          ],
          attributes: { numHeads, numKvHeads, scale: headDim ** -0.5, window },
        })
      }
    return cases
  },
}

/** How many pairs of a row and a key there are, and how many different keys; the rows of a sequence follow one another. */
function keysSeen(
  sequences: ArrayLike<number>,
  positions: ArrayLike<number>,
  window: number,
): { pairs: number; keys: number } {
  let pairs = 0
  const ranges = new Map<number, { first: number; last: number }>()
  for (let r = 0; r < positions.length; r++) {
    const last = positions[r]!
    const first = window > 0 ? Math.max(0, last - window + 1) : 0
    pairs += last - first + 1
    const range = ranges.get(sequences[r]!) ?? { first, last }
    ranges.set(sequences[r]!, { first: Math.min(range.first, first), last: Math.max(range.last, last) })
  }
  return { pairs, keys: [...ranges.values()].reduce((sum, { first, last }) => sum + last - first + 1, 0) }
}

/** The paged keys and values of one layer. */
export interface KvCache {
  readonly keys: Tensor
  readonly values: Tensor
}

export function kvWrite(cache: KvCache, k: Tensor, v: Tensor, slots: Tensor): void {
  k.device.record(kvWriteOp, [cache.keys, cache.values, k, v, slots], {})
}

export interface AttentionOptions {
  readonly blockTables: Tensor
  readonly sequences: Tensor
  readonly positions: Tensor
  readonly numHeads: number
  readonly numKvHeads: number
  readonly scale: number
  /** Sliding window in tokens; 0 sees everything. */
  readonly window: number
}

export function attention(q: Tensor, cache: KvCache, options: AttentionOptions): Tensor {
  const { blockTables, sequences, positions, numHeads, numKvHeads, scale, window } = options
  const inputs = [q, cache.keys, cache.values, blockTables, sequences, positions]
  return q.device.record(attentionOp, inputs, { numHeads, numKvHeads, scale, window })[0]!
}
