import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, rowsOf, type Tensor } from '../tensor.ts'
import {
  inferPrologue,
  inferResidual,
  inferRounding,
  preparedRows,
  prologueOf,
  prologues,
  roundingOf,
  type ActivationType,
  type Fusion,
} from './prologue.ts'
import { CaseRandom } from './random.ts'

/** A weight [N, K] and what belongs to it: one scale per output for i8, an optional bias, both f32 [N]. */
export interface LinearWeight {
  readonly weight: Tensor
  readonly scale?: Tensor
  readonly bias?: Tensor
  /** What the rows that it multiplies are rounded to; bf16, for bf16 weights, is faster where the processor has the instruction. */
  readonly activations?: ActivationType | undefined
}

/**
 * [R, K] x [N, K] -> [R, N]: y = (x . w) * scale + bias + residual, sums in f32; x may pass a prologue, after which it is
 * rounded to bf16 when the attribute `rounding` says so. Every output is one sum over k in ascending order, which is what
 * makes a row independent of its batch; with bf16 rows a device may add two products at a time.
 */
export const linearOp: Op = {
  name: 'linear',
  inputs: ['x', 'weight', 'scale?', 'bias?', 'norm?', 'residual?'],
  attributes: ['prologue', 'eps', 'rounding'],
  rowInputs: [0, 5],
  tolerance: { absolute: 1e-4, relative: 1e-4 },
  infer([x, weight, scale, bias, norm, residual], attributes) {
    const a = expectInput('linear', x, 'x', 2, 'f32')
    const w = expectInput('linear', weight, 'weight', 2, 'f32', 'bf16', 'f16', 'i8')
    const k = inferPrologue('linear', a, norm, attributes)
    inferRounding('linear', w, attributes)
    inferResidual('linear', residual, a.shape[0]!, w.shape[0]!)
    expectShape('linear', k === w.shape[1], () => `x is [${a.shape}] and the weight [${w.shape}]`)
    expectShape(
      'linear',
      (w.dtype === 'i8') === (scale !== undefined),
      () => 'an i8 weight comes with scales, others without',
    )
    for (const vector of [scale, bias])
      expectShape(
        'linear',
        vector === undefined || vector.shape[0] === w.shape[0],
        () => `a vector is not [${w.shape[0]}]`,
      )
    return [{ shape: [a.shape[0]!, w.shape[0]!], dtype: 'f32' }]
  },
  reference([x, weight, scale, bias, norm, residual], [out], attributes) {
    const rows = preparedRows(x!, norm, attributes)
    const w = new Float64Array(weight!.cols)
    for (let n = 0; n < weight!.rows; n++) {
      weight!.row(n, w)
      const factor = scale ? scale.item(n) : 1
      const shift = bias ? bias.item(n) : 0
      for (const [r, row] of rows.entries())
        out!.set(r, n, dot(row, w) * factor + shift + (residual ? residual.at(r, n) : 0))
    }
  },
  cost([x, weight], [out]) {
    const flops = 2 * rowsOf(x!) * weight!.shape[0]! * weight!.shape[1]!
    return { flops, bytes: byteLengthOf(x!) + byteLengthOf(weight!) + byteLengthOf(out!) }
  },
  cases() {
    const random = new CaseRandom(3)
    const sizes = [
      [1, 1, 1],
      [1, 48, 200],
      [2, 33, 31],
      [3, 64, 64],
      [5, 97, 33],
      [7, 128, 96],
      [17, 40, 65],
      [64, 257, 130],
    ]
    const exact = sizes.flatMap(([rows, k, n], size) =>
      (['f32', 'bf16', 'f16', 'i8'] as const).map((dtype, type) => {
        const prologue = (size + type) % 3
        return {
          label: `${rows}x${k} by ${n} ${dtype}, ${prologues[prologue]}`,
          inputs: [
            random.normal([rows!, prologues[prologue] === 'siluMul' ? 2 * k! : k!]),
            dtype === 'i8'
              ? random.integers([n!, k!], 128, 'i8', 'linear')
              : random.normal([n!, k!], dtype, 1, 'linear'),
            dtype === 'i8' ? random.normal([n!], 'f32', 0.01) : undefined,
            n! % 2 ? random.normal([n!]) : undefined,
            prologues[prologue] === 'rmsNorm' ? random.normal([k!]) : undefined,
            size % 2 ? random.normal([rows!, n!]) : undefined,
          ],
          attributes: { prologue, eps: 1e-5, rounding: 0 },
        }
      }),
    )
    // without a prologue, whose last bit could decide where a row is rounded to
    const rounded = sizes.map(([rows, k, n]) => ({
      label: `${rows}x${k} by ${n}, both bf16`,
      inputs: [
        random.normal([rows!, k!]),
        random.normal([n!, k!], 'bf16', 1, 'linear'),
        undefined,
        n! % 2 ? random.normal([n!]) : undefined,
        undefined,
        undefined,
      ],
      attributes: { prologue: 0, eps: 0, rounding: 1 },
    }))
    return [...exact, ...rounded]
  },
}

/** Sum over k in ascending order. Apart, so that the loop is compiled by itself: the reference device spends its time here. */
export function dot(row: Float64Array, w: Float64Array): number {
  let sum = 0
  for (let k = 0; k < w.length; k++) sum += row[k]! * w[k]!
  return sum
}

export function linear(x: Tensor, { weight, scale, bias, activations }: LinearWeight, fusion: Fusion = {}): Tensor {
  const inputs = [x, weight, scale, bias, fusion.norm?.weight, fusion.residual]
  return x.device.record(linearOp, inputs, { ...prologueOf(fusion), ...roundingOf(activations) })[0]!
}
