import { expectInput, expectShape, type Op } from '../op.ts'
import { byteLengthOf, colsOf, type Tensor } from '../tensor.ts'
import {
  drawIds,
  expertAttributes,
  expertSizes,
  forEachOutput,
  inferExperts,
  rowsOfSlots,
  shareOfExperts,
  type ExpertChoice,
  type ExpertFusion,
} from './experts.ts'
import { dot, type LinearWeight } from './linear.ts'
import { inferRounding, prologues, roundingOf } from './prologue.ts'
import { CaseRandom } from './random.ts'

/**
 * x [R, K] or [R, k * K], ids [R, k], weight [E * N, K] -> [R, k * N]: slot s of a row is the product with the weight of
 * expert ids[s], rows id * N and on. A slot has the bits that `linear` gives with that expert's weight alone. x may pass a
 * prologue. Experts that no row chose are not read.
 */
export const expertLinearOp: Op = {
  name: 'expertLinear',
  inputs: ['x', 'weight', 'ids', 'norm?'],
  attributes: ['numExperts', 'perSlot', 'prologue', 'eps', 'rounding'],
  rowInputs: [0, 2],
  tolerance: { absolute: 1e-4, relative: 1e-4 },
  infer([x, weight, ids, norm], attributes) {
    const w = expectInput('expertLinear', weight, 'weight', 2, 'f32', 'bf16', 'f16')
    const { rows, slots, cols, outputs } = inferExperts('expertLinear', { x, weight, ids, norm }, attributes)
    inferRounding('expertLinear', w, attributes)
    expectShape('expertLinear', cols === colsOf(w), () => `${cols} columns meet a weight [${w.shape}]`)
    return [{ shape: [rows, slots * outputs], dtype: 'f32' }]
  },
  reference([x, weight, ids, norm], [out], attributes) {
    const rows = rowsOfSlots(x!, ids!, norm, attributes)
    const outputs = out!.cols / ids!.cols
    const w = new Float64Array(weight!.cols)
    forEachOutput(ids!, outputs, (row, n, slots) => {
      weight!.row(row, w)
      for (const slot of slots)
        out!.set(Math.floor(slot / ids!.cols), (slot % ids!.cols) * outputs + n, dot(rows[slot]!, w))
    })
  },
  cost([x, weight, ids], [out], attributes, values) {
    const read = byteLengthOf(weight!) * shareOfExperts(ids!, attributes, values?.[2])
    const flops = 2 * (byteLengthOf(out!) / 4) * colsOf(weight!)
    return { flops, bytes: byteLengthOf(x!) + read + byteLengthOf(ids!) + byteLengthOf(out!) }
  },
  cases() {
    const random = new CaseRandom(17)
    return expertSizes.flatMap((size, i) =>
      (['f32', 'bf16', 'f16'] as const).map((dtype, type) => {
        const { rows, slots, experts, k, n } = size
        const prologue = (i + type) % 3
        const perSlot = type % 2
        const width = (perSlot ? slots : 1) * (prologues[prologue] === 'siluMul' ? 2 * k : k)
        return {
          label: `${rows}x${k} by ${slots} of ${experts}x${n} ${dtype}, ${prologues[prologue]}`,
          inputs: [
            random.normal([rows, width]),
            random.normal([experts * n, k], dtype, 1, 'linear'),
            drawIds(random, size),
            prologues[prologue] === 'rmsNorm' ? random.normal([k]) : undefined,
          ],
          attributes: {
            numExperts: experts,
            perSlot,
            prologue,
            eps: 1e-5,
            rounding: Number(dtype === 'bf16' && !prologue),
          },
        }
      }),
    )
  },
}

/** Product with the float weights of chosen experts, stacked [E * N, K]. */
export function expertLinear(
  x: Tensor,
  { weight, activations }: Pick<LinearWeight, 'weight' | 'activations'>,
  choice: ExpertChoice,
  fusion: ExpertFusion = {},
): Tensor {
  const inputs = [x, weight, choice.ids, fusion.norm?.weight]
  return x.device.record(expertLinearOp, inputs, {
    ...expertAttributes(choice, fusion),
    ...roundingOf(activations),
  })[0]!
}
