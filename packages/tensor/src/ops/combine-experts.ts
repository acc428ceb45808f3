import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, colsOf, sizeOf, type Tensor } from '../tensor.ts'
import { inferResidual } from './prologue.ts'
import { CaseRandom } from './random.ts'

/** x [R, k * N] and weights [R, k] -> [R, N]: the weighted sum over the slots, in ascending order, plus the residual. */
export const combineExpertsOp: Op = {
  name: 'combineExperts',
  inputs: ['x', 'weights', 'residual?'],
  attributes: [],
  rowInputs: [0, 1, 2],
  tolerance: { absolute: 1e-5, relative: 1e-5 },
  infer([x, weights, residual]) {
    const a = expectInput('combineExperts', x, 'x', 2, 'f32')
    const w = expectInput('combineExperts', weights, 'weights', 2, 'f32')
    const n = colsOf(a) / colsOf(w)
    const fits = a.shape[0] === w.shape[0] && Number.isInteger(n)
    expectShape('combineExperts', fits, () => `x is [${a.shape}], the weights [${w.shape}]`)
    inferResidual('combineExperts', residual, a.shape[0]!, n)
    return [{ shape: [a.shape[0]!, n], dtype: 'f32' }]
  },
  reference([x, weights, residual], [out]) {
    for (let r = 0; r < out!.rows; r++)
      for (let n = 0; n < out!.cols; n++) {
        let sum = 0
        for (let slot = 0; slot < weights!.cols; slot++) sum += weights!.at(r, slot) * x!.at(r, slot * out!.cols + n)
        out!.set(r, n, sum + (residual ? residual.at(r, n) : 0))
      }
  },
  cost([x, weights, residual], [out]) {
    const bytes = [x!, weights!, residual, out!].reduce((sum, spec) => sum + (spec ? byteLengthOf(spec) : 0), 0)
    return { flops: 2 * sizeOf(x!), bytes }
  },
  cases() {
    const random = new CaseRandom(16)
    const sizes = [
      [1, 1, 1],
      [2, 2, 33],
      [5, 8, 530],
    ]
    return sizes.flatMap(([rows, slots, n]) =>
      [false, true].map((isAdded) => ({
        label: `${rows}x${slots}x${n}${isAdded ? ' and a residual' : ''}`,
        inputs: [
          random.normal([rows!, slots! * n!]),
          random.normal([rows!, slots!]),
          isAdded ? random.normal([rows!, n!]) : undefined,
        ],
        attributes: {},
      })),
    )
  },
}

/** Weighted sum of what a row's experts have given. */
export function combineExperts(x: Tensor, weights: Tensor, residual?: Tensor): Tensor {
  return x.device.record(combineExpertsOp, [x, weights, residual], {})[0]!
}
