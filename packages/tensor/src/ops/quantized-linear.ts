import { roundTiesToEven } from '../dtype.ts'
import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, colsOf, rowsOf, type Tensor } from '../tensor.ts'
import { inferPrologue, inferResidual, preparedRows, prologueOf, prologues, type Fusion } from './prologue.ts'
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
    const { bits, group } = attributes
    const a = expectInput('quantizedLinear', x, 'x', 2, 'f32')
    const w = expectInput('quantizedLinear', words, 'words', 2, 'u32')
    const s = expectInput('quantizedLinear', scales, 'scales', 2, 'f16')
    const rows = a.shape[0]!
    const k = inferPrologue('quantizedLinear', a, norm, attributes)
    const n = w.shape[0]!
    inferResidual('quantizedLinear', residual, rows, n)
    expectShape('quantizedLinear', bits === 4 || bits === 8, () => `${bits} bits`)
    expectShape('quantizedLinear', group! > 0 && group! % 8 === 0, () => `groups of ${group}, not a multiple of 8`)
    expectShape(
      'quantizedLinear',
      w.shape[1] === Math.ceil((k * bits!) / 32),
      () => `x is [${a.shape}], words [${w.shape}]`,
    )
    const groups = Math.ceil(k / group!)
    for (const perGroup of zeros ? [s, expectInput('quantizedLinear', zeros, 'zeros', 2, 'u8')] : [s]) {
      const fits = perGroup.shape[0] === n && (perGroup.shape[1] === groups || perGroup.shape[1] === 1)
      expectShape('quantizedLinear', fits, () => `[${perGroup.shape}] for ${n} outputs and ${groups} groups`)
    }
    expectShape('quantizedLinear', bias === undefined || bias.shape[0] === n, () => `the bias is not [${n}]`)
    return [{ shape: [rows, n], dtype: 'f32' }]
  },
  reference([x, words, scales, zeros, bias, norm, residual], [out], attributes) {
    const { bits, group } = attributes
    const prepared = preparedRows(x!, norm, attributes)
    const k = prepared[0]?.length ?? 0
    const runs = Array.from(
      { length: Math.ceil(k / group!) },
      (_, g) => [g * group!, Math.min(k, (g + 1) * group!)] as const,
    )
    const rows = prepared.map((row) => runs.map(([start, end]) => quantizeRun(row, start, end)))
    const unpacked = new Int32Array(words!.cols * (32 / bits!))
    for (let n = 0; n < words!.rows; n++) {
      unpackWords(words!.row(n), bits!, unpacked)
      for (let r = 0; r < x!.rows; r++) {
        let sum = 0
        for (const [g, [start]] of runs.entries()) {
          const { values, scale } = rows[r]![g]!
          const zero = zeros ? zeros.at(n, zeros.cols === 1 ? 0 : g) : 2 ** (bits! - 1)
          let dot = 0
          for (let i = 0; i < values.length; i++) dot += (unpacked[start + i]! - zero) * values[i]!
          sum += dot * Math.fround(scale * scales!.at(n, scales!.cols === 1 ? 0 : g))
        }
        out!.set(r, n, sum + (bias ? bias.item(n) : 0) + (residual ? residual.at(r, n) : 0))
      }
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

/** Runs that stay below this are taken as zeros: 127 / max must not overflow. */
const tiny = 2 ** -100

/** One run of activations as int8. */
function quantizeRun(row: Float64Array, start: number, end: number): { values: number[]; scale: number } {
  const run = Array.from(row.subarray(start, end))
  const max = run.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  const factor = max < tiny ? 0 : Math.fround(127 / max)
  return { values: run.map((x) => roundTiesToEven(Math.fround(x * factor))), scale: Math.fround(max / 127) }
}

/** The unsigned values of a row of words, in the order of k. */
function unpackWords(words: Float64Array, bits: number, into: Int32Array): void {
  for (let i = 0; i < words.length; i++)
    for (let byte = 0; byte < 4; byte++) {
      const value = Math.floor(words[i]! / 2 ** (8 * byte)) % 256
      if (bits === 8) into[i * 4 + byte] = value
      else {
        into[i * 8 + byte] = value % 16
        into[i * 8 + 4 + byte] = Math.floor(value / 16)
      }
    }
}

/** Integer product with a quantised weight. */
export function quantizedLinear(x: Tensor, weight: QuantizedWeight, fusion: Fusion = {}): Tensor {
  const { words, scales, zeros, bias, bits, group } = weight
  const inputs = [x, words, scales, zeros, bias, fusion.norm?.weight, fusion.residual]
  return x.device.record(quantizedLinearOp, inputs, { bits, group, ...prologueOf(fusion) })[0]!
}
