import { expectInput, expectShape, type Op } from '../op.ts'
import { sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom, given } from './random.ts'

/** The attribute `kind` is the place in this list. */
export const activations = ['gelu', 'geluTanh', 'tanh', 'relu'] as const
export type Activation = (typeof activations)[number]

const functions: Readonly<Record<Activation, (x: number) => number>> = {
  gelu: (x) => 0.5 * x * erfc(-x / Math.SQRT2),
  geluTanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  tanh: Math.tanh,
  relu: (x) => Math.max(0, x),
}

/** 1 - erf(x), relative error below 1e-12: the series where it converges fast, the continued fraction beyond. */
function erfc(x: number): number {
  if (x < 0) return 2 - erfc(-x)
  if (x < 3) {
    let sum = x
    for (let n = 1, power = x; Math.abs(power) > 1e-18; n++) {
      power *= (-x * x) / n
      sum += power / (2 * n + 1)
    }
    return 1 - (2 / Math.sqrt(Math.PI)) * sum
  }
  let fraction = 0
  for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction)
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction)
}

/** A function of every element: GELU (Hendrycks and Gimpel 2016) by the error function or by tanh, tanh, ReLU. */
export const activateOp: Op = {
  name: 'activate',
  inputs: ['x'],
  attributes: ['kind'],
  rowInputs: [0],
  tolerance: { absolute: 1e-6, relative: 2e-6 },
  infer([x], { kind }) {
    const a = expectInput('activate', x, 'x', 2, 'f32')
    expectShape('activate', activations[kind!] !== undefined, () => `kind ${kind}`)
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference([x], [out], { kind }) {
    const f = functions[activations[kind!]!]
    for (let r = 0; r < x!.rows; r++) for (let c = 0; c < x!.cols; c++) out!.set(r, c, f(x!.at(r, c)))
  },
  cost([x]) {
    return { flops: 16 * sizeOf(x!), bytes: 8 * sizeOf(x!) }
  },
  cases() {
    const random = new CaseRandom(22)
    const edges = [0, -0, 1e-20, -30, 30, -3.5, 3.5, 200, -200, -0.75]
    return activations.flatMap((name, kind) => [
      { label: `${name} 3x47`, inputs: [random.normal([3, 47], 'f32', 2)], attributes: { kind } },
      { label: `${name} 33x256`, inputs: [random.normal([33, 256], 'f32', 4)], attributes: { kind } },
      { label: `${name} of extremes`, inputs: [given(edges, [1, edges.length], 'f32')], attributes: { kind } },
    ])
  },
}

export function activate(x: Tensor, activation: Activation): Tensor {
  return x.device.record(activateOp, [x], { kind: activations.indexOf(activation) })[0]!
}
