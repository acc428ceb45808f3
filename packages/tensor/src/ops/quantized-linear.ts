import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, colsOf, rowsOf, type Tensor } from '../tensor.ts'
import { inferPrologue, inferResidual, preparedRows, prologueOf, prologues, type Fusion } from './prologue.ts'
import { inferQuantized, quantizedOutput, quantizeRow } from './quantized-rows.ts'
import { CaseRandom } from './random.ts'

/**
 * An integer weight [N, K] in 32-bit words, so that packing into panels gives the order in which `vpdpbusd` wants it.
 * Values are unsigned; `zeros` says which one means 0.
 *
 * - 8 bits: a word holds k .. k+3, one byte each, lowest first.
 * - 4 bits: a word holds k .. k+7; byte j holds k+j in its low and k+4+j in its high half.
 *
 * Scales f16 [N, groups] belong to runs of `group` columns; [N, 1] is one scale per output.
 */
export interface QuantizedWeight {
  readonly words: Tensor
  readonly scales: Tensor
  /** u8 [N, groups], or [N, 1]; absent: the middle, 8 or 128. */
  readonly zeros?: Tensor
  readonly bias?: Tensor
  readonly bits: 4 | 8
  /** Columns that share a scale of the activations, and of the weights unless those have one per output. */
  readonly group: number
}

/**
 * [R, K] x [N, K] -> [R, N] with integer products. Each run of `group` activations is rounded to int8 with a scale of its
 * own, d = max|x| / 127, q = x * (127 / max|x|) to the nearest even, all in f32 (all 0 where max|x| < 2^-100). The products of a run are summed
 * exactly, and y = sum over runs of (sum of (w - zero) q) * (d * scale), in f32 by ascending k, plus bias, plus residual.
 * x may pass a prologue before it is rounded.
 */
export const quantizedLinearOp: Op = {
  name: 'quantizedLinear',
  inputs: ['x', 'words', 'scales', 'zeros?', 'bias?', 'norm?', 'residual?'],
  attributes: ['bits', 'group', 'prologue', 'eps'],
  rowInputs: [0, 6],
  tolerance: { absolute: 1e-4, relative: 1e-5 },
  infer([x, words, scales, zeros, bias, norm, residual], attributes) {
    const a = expectInput('quantizedLinear', x, 'x', 2, 'f32')
    const w = expectInput('quantizedLinear', words, 'words', 2, 'u32')
    const s = expectInput('quantizedLinear', scales, 'scales', 2, 'f16')
    const rows = a.shape[0]!
    const k = inferPrologue('quantizedLinear', a, norm, attributes)
    const n = w.shape[0]!
    inferResidual('quantizedLinear', residual, rows, n)
    inferQuantized('quantizedLinear', k, w, s, zeros, attributes)
    expectShape('quantizedLinear', bias === undefined || bias.shape[0] === n, () => `the bias is not [${n}]`)
    return [{ shape: [rows, n], dtype: 'f32' }]
  },
  reference([x, words, scales, zeros, bias, norm, residual], [out], attributes) {
    const rows = preparedRows(x!, norm, attributes).map((row) => quantizeRow(row, attributes))
    for (let n = 0; n < words!.rows; n++) {
      const dot = quantizedOutput({ words: words!, scales: scales!, zeros }, n, attributes)
      const shift = bias ? bias.item(n) : 0
      for (const [r, row] of rows.entries()) out!.set(r, n, dot(row) + shift + (residual ? residual.at(r, n) : 0))
    }
  },
  cost([x, words, scales], [out], { bits }) {
    const flops = 2 * rowsOf(x!) * Math.floor((colsOf(words!) * 32) / bits!) * words!.shape[0]!
    return { flops, bytes: byteLengthOf(x!) + byteLengthOf(words!) + byteLengthOf(scales!) + byteLengthOf(out!) }
  },
  cases() {
    const random = new CaseRandom(14)
    const sizes = [
      { rows: 1, k: 32, n: 1, group: 32 },
      { rows: 1, k: 256, n: 70, group: 128 },
      { rows: 2, k: 128, n: 33, group: 64 },
      { rows: 3, k: 96, n: 31, group: 32 },
      { rows: 4, k: 384, n: 64, group: 128 },
      { rows: 5, k: 64, n: 100, group: 32 },
      { rows: 7, k: 640, n: 40, group: 128 },
      { rows: 26, k: 256, n: 65, group: 64 },
      { rows: 70, k: 896, n: 130, group: 128 },
      // the last run is short, and the last word half empty
      { rows: 3, k: 203, n: 45, group: 128 },
      { rows: 9, k: 50, n: 34, group: 32 },
    ]
    return sizes.flatMap(({ rows, k, n, group }, size) =>
      [4, 8].flatMap((bits) =>
        ['one scale', 'scales', 'scales and zeros'].map((form, i) => {
          const groups = form === 'one scale' ? 1 : Math.ceil(k / group)
          const prologue = (size + i) % 3
          const kind = prologues[prologue]!
          return {
            label: `${rows}x${k} by ${n}, ${bits} bits in groups of ${group}, ${form}, ${kind}`,
            inputs: [
              random.normal([rows, kind === 'siluMul' ? 2 * k : k]),
              random.integers([n, Math.ceil((k * bits) / 32)], 2 ** 32, 'u32', 'linear'),
              random.normal([n, groups], 'f16', 0.01, 'linear'),
              form === 'scales and zeros' ? random.integers([n, groups], 2 ** bits, 'u8', 'linear') : undefined,
              n % 2 ? random.normal([n]) : undefined,
              kind === 'rmsNorm' ? random.normal([k]) : undefined,
              size % 2 ? random.normal([rows, n]) : undefined,
            ],
            attributes: { bits, group, prologue, eps: 1e-5 },
          }
        }),
      ),
    )
  },
}

/** Integer product with a quantised weight. */
export function quantizedLinear(x: Tensor, weight: QuantizedWeight, fusion: Fusion = {}): Tensor {
  const { words, scales, zeros, bias, bits, group } = weight
  const inputs = [x, words, scales, zeros, bias, fusion.norm?.weight, fusion.residual]
  return x.device.record(quantizedLinearOp, inputs, { bits, group, ...prologueOf(fusion) })[0]!
}
