import { expectInput, expectShape, type Op } from '../op.ts'
import { sizeOf, type Tensor } from '../tensor.ts'
import { expNegative } from './exact-math.ts'
import { CaseRandom, quantised } from './random.ts'

export function argmaxOf(values: Float64Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}

/** The id of the highest value of each row, the lowest of equals: [R, V] -> i32 [R]. */
export const argmaxOp: Op = {
  name: 'argmax',
  inputs: ['x'],
  attributes: [],
  rowInputs: [0],
  tolerance: { absolute: 0, relative: 0 },
  infer([x]) {
    return [{ shape: [expectInput('argmax', x, 'x', 2, 'f32').shape[0]!], dtype: 'i32' }]
  },
  reference([x], [out]) {
    for (let r = 0; r < x!.rows; r++) out!.set(0, r, argmaxOf(x!.row(r)))
  },
  cost([x]) {
    return { flops: sizeOf(x!), bytes: 4 * sizeOf(x!) }
  },
  cases() {
    const random = new CaseRandom(12)
    return [1, 5, 300].map((vocabulary) => ({
      label: `vocabulary ${vocabulary}`,
      inputs: [{ ...random.normal([4, vocabulary]), data: quantised(random, 4 * vocabulary) }],
      attributes: {},
    }))
  },
}

/**
 * Log-probabilities (natural log of softmax) of the chosen ids and of the `k` best tokens of each row: values f32
 * [R, 1 + k], ids i32 [R, 1 + k] (the chosen one first, then best first, lower id of equals first) and the chosen
 * one's rank i32 [R], counted from 1.
 */
export const logprobsOp: Op = {
  name: 'logprobs',
  inputs: ['logits', 'chosen'],
  attributes: ['k'],
  rowInputs: [0, 1],
  tolerance: { absolute: 2e-6, relative: 1e-6 },
  infer([logits, chosen], { k }) {
    const l = expectInput('logprobs', logits, 'logits', 2, 'f32')
    const c = expectInput('logprobs', chosen, 'chosen', 1, 'i32')
    expectShape('logprobs', l.shape[0] === c.shape[0] && k! >= 0 && k! <= l.shape[1]!, () => `k ${k} of [${l.shape}]`)
    const shape = [l.shape[0]!, 1 + k!]
    return [
      { shape, dtype: 'f32' },
      { shape, dtype: 'i32' },
      { shape: [l.shape[0]!], dtype: 'i32' },
    ]
  },
  reference([logits, chosen], [values, ids, ranks], { k }) {
    for (let r = 0; r < logits!.rows; r++) {
      const row = logits!.row(r)
      const max = row.reduce((a, b) => Math.max(a, b), -Infinity)
      const logTotal = Math.log(row.reduce((sum, x) => sum + expNegative(x - max), 0))
      const order = Array.from(row.keys()).sort((a, b) => row[b]! - row[a]! || a - b)
      const listed = [chosen!.item(r), ...order.slice(0, k)]
      for (const [i, id] of listed.entries()) {
        ids!.set(r, i, id)
        values!.set(r, i, row[id]! - max - logTotal)
      }
      ranks!.set(0, r, row.filter((x) => x > row[listed[0]!]!).length + 1)
    }
  },
  cost([logits]) {
    return { flops: 20 * sizeOf(logits!), bytes: 4 * sizeOf(logits!) }
  },
  cases() {
    const random = new CaseRandom(13)
    return [
      [1, 0],
      [7, 7],
      [200, 20],
      [4099, 5],
    ].map(([vocabulary, k]) => ({
      label: `${k} of ${vocabulary}`,
      inputs: [
        { ...random.normal([5, vocabulary!]), data: quantised(random, 5 * vocabulary!) },
        random.integers([5], vocabulary!),
      ],
      attributes: { k: k! },
    }))
  },
}

export function argmax(x: Tensor): Tensor {
  return x.device.record(argmaxOp, [x], {})[0]!
}

export function logprobs(logits: Tensor, chosen: Tensor, k: number): { values: Tensor; ids: Tensor; ranks: Tensor } {
  const [values, ids, ranks] = logits.device.record(logprobsOp, [logits, chosen], { k })
  return { values: values!, ids: ids!, ranks: ranks! }
}
