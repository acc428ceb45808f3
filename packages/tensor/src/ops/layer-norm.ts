import { expectInput, expectShape, type Op } from '../op.ts'
import { colsOf, sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom } from './random.ts'

/** y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias over the columns of [R, D] (Ba et al. 2016). */
export const layerNormOp: Op = {
  name: 'layerNorm',
  inputs: ['x', 'weight', 'bias?'],
  attributes: ['eps'],
  rowInputs: [0],
  tolerance: { absolute: 4e-6, relative: 4e-6 },
  infer([x, weight, bias]) {
    const a = expectInput('layerNorm', x, 'x', 2, 'f32')
    for (const [name, vector] of Object.entries({ weight, bias })) {
      if (name === 'bias' && !vector) continue
      const v = expectInput('layerNorm', vector, name, 1, 'f32')
      expectShape('layerNorm', v.shape[0] === colsOf(a), () => `x is [${a.shape}], ${name} [${v.shape}]`)
    }
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference([x, weight, bias], [out], { eps }) {
    for (let r = 0; r < x!.rows; r++) {
      const row = x!.row(r)
      const mean = row.reduce((a, b) => a + b, 0) / row.length
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / row.length
      const factor = 1 / Math.sqrt(variance + eps!)
      for (let c = 0; c < row.length; c++)
        out!.set(r, c, (row[c]! - mean) * factor * weight!.item(c) + (bias ? bias.item(c) : 0))
    }
  },
  cost([x]) {
    return { flops: 8 * sizeOf(x!), bytes: 8 * sizeOf(x!) }
  },
  cases() {
    const random = new CaseRandom(21)
    return [
      [1, 2],
      [3, 48],
      [7, 129],
      [33, 256],
    ].map(([rows, cols]) => ({
      label: `${rows}x${cols}${cols! % 2 ? ' without bias' : ''}`,
      inputs: [
        random.normal([rows!, cols!], 'f32', 3),
        random.normal([cols!]),
        cols! % 2 ? undefined : random.normal([cols!]),
      ],
      attributes: { eps: 1e-5 },
    }))
  },
}

export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor | undefined, eps: number): Tensor {
  return x.device.record(layerNormOp, [x, weight, bias], { eps })[0]!
}
