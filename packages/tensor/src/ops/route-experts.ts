import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, sizeOf, type Tensor } from '../tensor.ts'
import { expNegative } from './exact-math.ts'
import { CaseRandom, given } from './random.ts'

export interface RoutingOptions {
  /** Experts that a row takes. */
  readonly k: number
  /** Weights of a row add up to 1 (`norm_topk_prob`); otherwise they are probabilities among all experts. */
  readonly renormalise: boolean
}

/**
 * Logits [R, E] -> ids i32 [R, k] of the k highest, best first, and their weights f32 [R, k]: the softmax over all experts
 * or over the chosen ones. Of equal logits the lower id comes first. Exact: f64 arithmetic in a fixed order.
 */
export const routeExpertsOp: Op = {
  name: 'routeExperts',
  inputs: ['logits'],
  attributes: ['k', 'renormalise'],
  rowInputs: [0],
  tolerance: { absolute: 0, relative: 0 },
  infer([logits], { k }) {
    const { shape } = expectInput('routeExperts', logits, 'logits', 2, 'f32')
    expectShape('routeExperts', k! > 0 && k! <= shape[1]!, () => `${k} of ${shape[1]} experts`)
    return [
      { shape: [shape[0]!, k!], dtype: 'i32' },
      { shape: [shape[0]!, k!], dtype: 'f32' },
    ]
  },
  reference([logits], [ids, weights], { k, renormalise }) {
    for (let r = 0; r < logits!.rows; r++) {
      const x = logits!.row(r)
      const chosen: number[] = []
      const rest = new Set(x.keys())
      while (chosen.length < k!) {
        let best = -1
        for (const e of rest) if (best < 0 || x[e]! > x[best]!) best = e
        rest.delete(best)
        chosen.push(best)
      }
      const highest = x[chosen[0]!]!
      const shares = chosen.map((e) => expNegative(x[e]! - highest))
      const all = renormalise ? shares : Array.from(x, (logit) => expNegative(logit - highest))
      const total = all.reduce((a, b) => a + b, 0)
      for (const [slot, e] of chosen.entries()) {
        ids!.set(r, slot, e)
        weights!.set(r, slot, shares[slot]! / total)
      }
    }
  },
  cost([logits], outputs, { k }) {
    const bytes = outputs.reduce((sum, output) => sum + byteLengthOf(output), byteLengthOf(logits!))
    return { flops: sizeOf(logits!) * k!, bytes }
  },
  cases() {
    const random = new CaseRandom(15)
    const sizes = [
      [1, 1, 1],
      [3, 4, 2],
      [17, 128, 8],
      [5, 61, 61],
    ]
    const drawn = sizes.flatMap(([rows, experts, k]) =>
      [0, 1].map((renormalise) => ({
        label: `${k} of ${experts} for ${rows} rows${renormalise ? ', renormalised' : ''}`,
        inputs: [random.normal([rows!, experts!], 'f32', 3)],
        attributes: { k: k!, renormalise },
      })),
    )
    const ties = [2, 7, 7, -1, 7, 0, 0, 0, -0, 0, -1000, -2000, -1000, -3000, -1000]
    return [
      ...drawn,
      { label: 'equal logits', inputs: [given(ties, [3, 5], 'f32')], attributes: { k: 3, renormalise: 1 } },
    ]
  },
}

/** Which experts each row takes, and with what weights. */
export function routeExperts(
  logits: Tensor,
  { k, renormalise }: RoutingOptions,
): { readonly ids: Tensor; readonly weights: Tensor } {
  const [ids, weights] = logits.device.record(routeExpertsOp, [logits], { k, renormalise: Number(renormalise) })
  return { ids: ids!, weights: weights! }
}
