import { bytesOf } from '../dtype.ts'
import { expectInput, expectShape, type Op, type OpCase } from '../op.ts'
import { colsOf, rowsOf, sizeOf, type Tensor } from '../tensor.ts'
import { View } from '../view.ts'
import { cacheCase, cacheInputs, expectCache, kvDtypes, writeSlot, type KvCache } from './kv-cache.ts'
import { CaseRandom, given } from './random.ts'
import { rmsNormOp } from './rms-norm.ts'
import { ropeOp } from './rope.ts'

const f32 = (rows: number, cols: number): View =>
  new View({ shape: [rows, cols], dtype: 'f32' }, new Float32Array(rows * cols))

/** The heads of x normalised, where there is a weight, and rotated, each rounded to f32. */
function rotated(x: View, norm: View | undefined, angles: View, headDim: number, eps: number): View {
  let from = x
  if (norm) {
    from = f32(x.rows, x.cols)
    rmsNormOp.reference([x, norm], [from], { eps })
  }
  const out = f32(x.rows, x.cols)
  ropeOp.reference([from, angles], [out], { headDim })
  return out
}

/**
 * What lies between the fused projection qkv [R, (H + 2 * Hkv) * headDim] and attention, in one pass: norms each head of
 * q and of k where weights [headDim] are given, rotates both by `angles` (ropeTable), stores k and v in the caches at
 * `slots` (kvWrite), and gives q [R, H * headDim]. The bits are those of columns, rmsNorm, rope and kvWrite recorded one
 * by one.
 */
export const ropeWriteOp: Op = {
  name: 'ropeWrite',
  inputs: ['qkv', 'qNorm?', 'kNorm?', 'angles', 'keyCache', 'valueCache', 'keyScales?', 'valueScales?', 'slots'],
  attributes: ['headDim', 'eps'],
  rowInputs: [0, 3, 8],
  updates: [4, 5, 6, 7],
  // an element that the device rounds to the other side lies one step of the cache's type away
  tolerance: { absolute: 1e-5, relative: 8e-3 },
  infer(inputs, { headDim }) {
    const [qkv, qNorm, kNorm, angles] = inputs
    const keys = expectCache('ropeWrite', inputs.slice(4))
    const x = expectInput('ropeWrite', qkv, 'qkv', 2, 'f32')
    const table = expectInput('ropeWrite', angles, 'angles', 2, 'f32')
    const slots = expectInput('ropeWrite', inputs[8], 'slots', 1, 'i32')
    const rows = rowsOf(x)
    const fits = rowsOf(table) === rows && slots.shape[0] === rows && colsOf(table) <= headDim!
    expectShape('ropeWrite', fits, () => `qkv [${x.shape}], angles [${table.shape}], slots [${slots.shape}]`)
    for (const norm of [qNorm, kNorm])
      if (norm)
        expectShape(
          'ropeWrite',
          `${norm.shape}` === `${headDim}`,
          () => `a norm [${norm.shape}] of heads of ${headDim}`,
        )
    const width = colsOf(x) - 2 * colsOf(keys)
    const whole = width > 0 && width % headDim! === 0 && colsOf(keys) % headDim! === 0
    expectShape('ropeWrite', whole, () => `qkv [${x.shape}], caches [${keys.shape}], heads of ${headDim}`)
    return [{ shape: [rows, width], dtype: 'f32' }]
  },
  reference([qkv, qNorm, kNorm, angles, keyCache, valueCache, keyScales, valueScales, slots], [out], attributes) {
    const { headDim, eps } = attributes as { headDim: number; eps: number }
    const part = (start: number, cols: number): View =>
      new View({ shape: [qkv!.rows, cols], dtype: 'f32' }, qkv!.data, qkv!.offset + start, qkv!.rowStride)
    const kvWidth = keyCache!.cols
    const q = rotated(part(0, out!.cols), qNorm, angles!, headDim, eps)
    const k = rotated(part(out!.cols, kvWidth), kNorm, angles!, headDim, eps)
    const v = part(out!.cols + kvWidth, kvWidth)
    for (let r = 0; r < q.rows; r++) {
      for (const [c, x] of q.row(r).entries()) out!.set(r, c, x)
      const slot = slots!.item(r)
      if (slot < 0) continue
      writeSlot(keyCache!, keyScales, slot, 0, k.row(r))
      writeSlot(valueCache!, valueScales, slot, 0, v.row(r))
    }
  },
  cost([qkv, , , , keyCache], [out]) {
    const written = 2 * rowsOf(qkv!) * colsOf(keyCache!) * bytesOf(keyCache!.dtype)
    return { flops: 7 * sizeOf(qkv!), bytes: 4 * (sizeOf(qkv!) + sizeOf(out!)) + written }
  },
  cases() {
    const random = new CaseRandom(12)
    const cases: OpCase[] = []
    for (const dtype of kvDtypes)
      for (const [rows, heads, numKvHeads, headDim, pairs, blockSize, normed] of [
        [1, 2, 1, 2, 1, 16, false],
        [5, 4, 2, 12, 6, 5, true],
        [9, 6, 2, 64, 32, 32, true],
        [7, 3, 3, 32, 8, 16, false],
      ] as const) {
        const numBlocks = 3
        const slots = Array.from({ length: rows }, (_, r) => (r === 2 ? -1 : (r * 11 + 3) % (numBlocks * blockSize)))
        cases.push({
          label: `${rows} rows of ${heads}/${numKvHeads} heads of ${headDim}, blocks of ${blockSize}, ${dtype}`,
          inputs: [
            random.normal([rows, (heads + 2 * numKvHeads) * headDim]),
            normed ? random.normal([headDim]) : undefined,
            normed ? random.normal([headDim]) : undefined,
            random.normal([rows, 2 * pairs]),
            ...cacheCase(random, { numBlocks, blockSize, numKvHeads, headDim }, dtype),
            given(slots, [rows], 'i32'),
          ],
          attributes: { headDim, eps: 1e-6 },
        })
      }
    return cases
  },
}

export interface RopeWriteOptions {
  readonly headDim: number
  /** Weights [headDim] of the norms over each head of q and k. */
  readonly qNorm?: Tensor | undefined
  readonly kNorm?: Tensor | undefined
  readonly eps: number
}

/** Rotated queries of a fused projection, whose keys and values go to the cache. */
export function ropeWrite(
  qkv: Tensor,
  angles: Tensor,
  cache: KvCache,
  slots: Tensor,
  options: RopeWriteOptions,
): Tensor {
  const { headDim, qNorm, kNorm, eps } = options
  const inputs = [qkv, qNorm, kNorm, angles, ...cacheInputs(cache), slots]
  return qkv.device.record(ropeWriteOp, inputs, { headDim, eps })[0]!
}
