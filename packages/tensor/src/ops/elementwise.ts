import { expectInput, expectShape, type Op } from '../op.ts'
import { colsOf, rowsOf, sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom } from './random.ts'

/** [R, 2F] -> [R, F]: silu(gate) * up, where gate is the first half of the columns (SwiGLU, Shazeer 2020). */
export const siluMulOp: Op = {
  name: 'siluMul',
  inputs: ['gateUp'],
  attributes: [],
  rowInputs: [0],
  tolerance: { absolute: 2e-6, relative: 2e-6 },
  infer([gateUp]) {
    const x = expectInput('siluMul', gateUp, 'gateUp', 2, 'f32')
    expectShape('siluMul', colsOf(x) % 2 === 0, () => `[${x.shape}] has no two halves`)
    return [{ shape: [x.shape[0]!, colsOf(x) / 2], dtype: 'f32' }]
  },
  reference([gateUp], [out]) {
    for (let r = 0; r < out!.rows; r++)
      for (let c = 0; c < out!.cols; c++) {
        const gate = gateUp!.at(r, c)
        out!.set(r, c, (gate / (1 + Math.exp(-gate))) * gateUp!.at(r, out!.cols + c))
      }
  },
  cost(_inputs, [out]) {
    return { flops: 8 * sizeOf(out!), bytes: 12 * sizeOf(out!) }
  },
  cases() {
    const random = new CaseRandom(6)
    return [
      [1, 2],
      [3, 94],
      [33, 256],
    ].map(([rows, cols]) => ({
      label: `${rows}x${cols}`,
      inputs: [random.normal([rows!, cols!], 'f32', 8)],
      attributes: {},
    }))
  },
}

/** Sum of two tensors of one shape: the residual connection. */
export const addOp: Op = {
  name: 'add',
  inputs: ['a', 'b'],
  attributes: [],
  rowInputs: [0, 1],
  tolerance: { absolute: 0, relative: 0 },
  infer([a, b]) {
    const x = expectInput('add', a, 'a', 2, 'f32')
    const y = expectInput('add', b, 'b', 2, 'f32')
    expectShape('add', rowsOf(x) === rowsOf(y) && colsOf(x) === colsOf(y), () => `[${x.shape}] and [${y.shape}]`)
    return [{ shape: x.shape, dtype: 'f32' }]
  },
  reference([a, b], [out]) {
    for (let r = 0; r < out!.rows; r++) for (let c = 0; c < out!.cols; c++) out!.set(r, c, a!.at(r, c) + b!.at(r, c))
  },
  cost(_inputs, [out]) {
    return { flops: sizeOf(out!), bytes: 12 * sizeOf(out!) }
  },
  cases() {
    const random = new CaseRandom(7)
    return [
      [1, 1],
      [3, 47],
      [33, 256],
    ].map(([rows, cols]) => ({
      label: `${rows}x${cols}`,
      inputs: [random.normal([rows!, cols!]), random.normal([rows!, cols!])],
      attributes: {},
    }))
  },
}

export function siluMul(gateUp: Tensor): Tensor {
  return gateUp.device.record(siluMulOp, [gateUp], {})[0]!
}

export function add(a: Tensor, b: Tensor): Tensor {
  return a.device.record(addOp, [a, b], {})[0]!
}
