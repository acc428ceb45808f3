import { expectInput, expectShape, type Op } from '../op.ts'
import { colsOf, sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom } from './random.ts'

/**
 * y = x / sqrt(mean(x^2) + eps) * weight over every run of `weight.length` columns: one run for a layer's norm, one per
 * head for the q/k norm (Zhang and Sennrich 2019).
 */
export const rmsNormOp: Op = {
  name: 'rmsNorm',
  inputs: ['x', 'weight'],
  attributes: ['eps'],
  rowInputs: [0],
  tolerance: { absolute: 1e-6, relative: 2e-6 },
  infer([x, weight]) {
    const a = expectInput('rmsNorm', x, 'x', 2, 'f32')
    const w = expectInput('rmsNorm', weight, 'weight', 1, 'f32')
    expectShape('rmsNorm', colsOf(a) % w.shape[0]! === 0, () => `[${a.shape}] is not made of runs of ${w.shape[0]}`)
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference([x, weight], [out], { eps }) {
    const width = weight!.cols
    for (let r = 0; r < x!.rows; r++)
      for (let start = 0; start < x!.cols; start += width) {
        let squares = 0
        for (let c = start; c < start + width; c++) squares += x!.at(r, c) ** 2
        const factor = 1 / Math.sqrt(squares / width + eps!)
        for (let c = 0; c < width; c++) out!.set(r, start + c, x!.at(r, start + c) * factor * weight!.item(c))
      }
  },
  cost([x]) {
    return { flops: 4 * sizeOf(x!), bytes: 8 * sizeOf(x!) }
  },
  cases() {
    const random = new CaseRandom(2)
    return [
      [1, 1, 1],
      [3, 48, 48],
      [7, 129, 129],
      [4, 96, 12],
      [33, 256, 64],
    ].map(([rows, cols, width]) => ({
      label: `${rows}x${cols} in runs of ${width}`,
      inputs: [random.normal([rows!, cols!]), random.normal([width!])],
      attributes: { eps: 1e-5 },
    }))
  },
}

export function rmsNorm(x: Tensor, weight: Tensor, eps: number): Tensor {
  return x.device.record(rmsNormOp, [x, weight], { eps })[0]!
}
