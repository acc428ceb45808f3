import { expectInput, expectShape, type Op, type OpCase } from '../op.ts'
import { colsOf, sizeOf, type Tensor } from '../tensor.ts'
import type { View } from '../view.ts'
import {
  cacheCase,
  cacheInputs,
  expectCache,
  kvBytesPerToken,
  kvDtypes,
  readSlot,
  type KvCache,
  type KvDtype,
} from './kv-cache.ts'
import { CaseRandom, given } from './random.ts'

/**
 * Attention over paged keys and values, for prefill and decode alike. Row r of q [R, numHeads * headDim] belongs to
 * sequence `sequences[r]` and sees that sequence's keys 0..`positions[r]`: with its own position attention is causal,
 * with that of the sequence's last token it is bidirectional; with `window` > 0 only the last
 * `window` of them. Key j of sequence s lies in block `blockTables[s, j / blockSize]`. Query heads share key heads in
 * order (grouped-query attention, Ainslie et al. 2023).
 */
export const attentionOp: Op = {
  name: 'attention',
  inputs: ['q', 'keyCache', 'valueCache', 'keyScales?', 'valueScales?', 'blockTables', 'sequences', 'positions'],
  attributes: ['numHeads', 'numKvHeads', 'scale', 'window'],
  rowInputs: [0, 6, 7],
  tolerance: { absolute: 2e-5, relative: 2e-5 },
  infer(inputs, { numHeads, numKvHeads }) {
    const [q, , , keyScales, , blockTables, sequences, positions] = inputs
    const a = expectInput('attention', q, 'q', 2, 'f32')
    const keys = expectCache('attention', inputs.slice(1))
    expectInput('attention', blockTables, 'blockTables', 2, 'i32')
    const rows = expectInput('attention', sequences, 'sequences', 1, 'i32')
    const at = expectInput('attention', positions, 'positions', 1, 'i32')
    expectShape('attention', rows.shape[0] === a.shape[0] && at.shape[0] === a.shape[0], () => `q is [${a.shape}]`)
    expectShape('attention', numHeads! % numKvHeads! === 0, () => `${numHeads} heads over ${numKvHeads}`)
    const scaled = !keyScales || colsOf(keyScales) === numKvHeads
    const fits = colsOf(a) / numHeads! === colsOf(keys) / numKvHeads! && scaled
    expectShape(
      'attention',
      fits,
      () => `q [${a.shape}] and caches [${keys.shape}] with ${numHeads}/${numKvHeads} heads`,
    )
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference(
    [q, keyCache, valueCache, keyScales, valueScales, blockTables, sequences, positions],
    [out],
    { numHeads, numKvHeads, scale, window },
  ) {
    const headDim = q!.cols / numHeads!
    const blockSize = keyCache!.shape[1]!
    const contexts = contextsOf(sequences!, positions!, keyCache!.cols)
    for (let r = 0; r < q!.rows; r++) {
      const last = positions!.item(r)
      const first = window! > 0 ? Math.max(0, last - window! + 1) : 0
      const sequence = sequences!.item(r)
      const { keys, values, isRead } = contexts.get(sequence)!
      for (let j = first; j <= last; j++) {
        if (isRead[j]) continue
        const slot = blockTables!.at(sequence, Math.floor(j / blockSize)) * blockSize + (j % blockSize)
        readSlot(keyCache!, keyScales, slot, keys, j * keyCache!.cols)
        readSlot(valueCache!, valueScales, slot, values, j * keyCache!.cols)
        isRead[j] = 1
      }
      const row = q!.row(r)
      for (let head = 0; head < numHeads!; head++) {
        const column = head * headDim
        const kvColumn = Math.floor(head / (numHeads! / numKvHeads!)) * headDim
        const scores = new Float64Array(last - first + 1)
        let max = -Infinity
        for (let j = first; j <= last; j++) {
          const key = j * keyCache!.cols + kvColumn
          let dot = 0
          for (let c = 0; c < headDim; c++) dot += row[column + c]! * keys[key + c]!
          scores[j - first] = dot * scale!
          max = Math.max(max, dot * scale!)
        }
        let total = 0
        const sums = new Float64Array(headDim)
        for (let j = first; j <= last; j++) {
          const weight = Math.exp(scores[j - first]! - max)
          const value = j * keyCache!.cols + kvColumn
          total += weight
          for (let c = 0; c < headDim; c++) sums[c]! += weight * values[value + c]!
        }
        for (let c = 0; c < headDim; c++) out!.set(r, column + c, sums[c]! / total)
      }
    }
  },
  cost([q, keyCache, , , , blockTables], _outputs, { numKvHeads, window }, values) {
    const [sequences, positions] = [values?.[6], values?.[7]]
    const capacity = blockTables!.shape[1]! * keyCache!.shape[1]!
    const { pairs, keys } =
      sequences && positions
        ? keysSeen(sequences, positions, window!)
        : { pairs: q!.shape[0]! * capacity, keys: blockTables!.shape[0]! * capacity }
    const headDim = colsOf(keyCache!) / numKvHeads!
    return {
      flops: 4 * colsOf(q!) * pairs,
      bytes: keys * kvBytesPerToken(numKvHeads!, headDim, keyCache!.dtype as KvDtype) + 8 * sizeOf(q!),
    }
  },
  cases() {
    const random = new CaseRandom(9)
    const spread = [0, 1, 31, 32, 50, 99]
    // rows next to each other, over a boundary of what kernels take at a time
    const run = (first: number, count: number): number[] => Array.from({ length: count }, (_, i) => first + i)
    const same = (position: number, count: number): number[] => Array.from({ length: count }, () => position)
    const cases: OpCase[] = []
    for (const dtype of kvDtypes)
      for (const [numHeads, numKvHeads, headDim, blockSize, window, positions] of [
        [1, 1, 2, 1, 0, spread],
        [4, 1, 16, 4, 0, spread],
        [4, 2, 12, 7, 5, spread],
        [6, 6, 32, 16, 0, spread],
        [8, 2, 64, 64, 40, spread],
        [14, 2, 64, 32, 0, spread],
        [6, 2, 16, 32, 0, [300, 600, 255, 256]],
        [7, 1, 32, 16, 0, run(240, 30)],
        [2, 2, 16, 16, 20, [...run(250, 13), ...run(0, 9)]],
        [3, 1, 24, 16, 300, run(500, 25)],
        // as encoders have it: all rows see all keys
        [2, 2, 32, 16, 0, [...same(300, 13), ...same(17, 9)]],
        [2, 1, 12, 16, 40, [...same(90, 13), 91, 92]],
      ] as const) {
        // two sequences over shuffled blocks
        const blocks = Math.ceil((Math.max(...positions) + 1) / blockSize)
        const inOrder = positions.length > 6
        cases.push({
          label: `${numHeads}/${numKvHeads} heads of ${headDim}, blocks of ${blockSize}, window ${window}, ${positions.length} rows, ${dtype}`,
          inputs: [
            random.normal([positions.length, numHeads * headDim]),
            ...cacheCase(random, { numBlocks: blocks * 2, blockSize, numKvHeads, headDim }, dtype),
            random.integers([2, blocks], blocks * 2),
            given(
              positions.map((_, i) => (inOrder ? (i < 13 ? 1 : 0) : i % 2)),
              [positions.length],
              'i32',
            ),
            given(positions, [positions.length], 'i32'),
          ],
          attributes: { numHeads, numKvHeads, scale: headDim ** -0.5, window },
        })
      }
    return cases
  },
}

/** Keys and values of a sequence as numbers, by position; rows of one sequence see the same, which are read once. */
interface Context {
  readonly keys: Float64Array
  readonly values: Float64Array
  readonly isRead: Uint8Array
}

/** Room for what the rows of each sequence see. */
function contextsOf(sequences: View, positions: View, cols: number): Map<number, Context> {
  const lengths = new Map<number, number>()
  for (let r = 0; r < sequences.cols; r++) {
    const sequence = sequences.item(r)
    lengths.set(sequence, Math.max(lengths.get(sequence) ?? 0, positions.item(r) + 1))
  }
  const roomFor = (length: number): Context => ({
    keys: new Float64Array(length * cols),
    values: new Float64Array(length * cols),
    isRead: new Uint8Array(length),
  })
  return new Map(Array.from(lengths, ([sequence, length]) => [sequence, roomFor(length)]))
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
  const inputs = [q, ...cacheInputs(cache), blockTables, sequences, positions]
  return q.device.record(attentionOp, inputs, { numHeads, numKvHeads, scale, window })[0]!
}
