import { expectInput, type Op } from '../op.ts'
import { byteLengthOf, type Tensor } from '../tensor.ts'
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
import { prologues } from './prologue.ts'
import type { QuantizedWeight } from './quantized-linear.ts'
import { inferQuantized, quantizedOutput, quantizeRow } from './quantized-rows.ts'
import { CaseRandom } from './random.ts'

/**
 * As `expertLinear` with integer weights, all of [E * N, ...]: a slot has the bits that `quantizedLinear` gives with that
 * expert's weight alone. Rows are rounded once, however many experts take them.
 */
export const quantizedExpertLinearOp: Op = {
  name: 'quantizedExpertLinear',
  inputs: ['x', 'words', 'scales', 'zeros?', 'ids', 'norm?'],
  attributes: ['bits', 'group', 'numExperts', 'perSlot', 'prologue', 'eps'],
  rowInputs: [0, 4],
  tolerance: { absolute: 1e-4, relative: 1e-5 },
  infer([x, words, scales, zeros, ids, norm], attributes) {
    const w = expectInput('quantizedExpertLinear', words, 'words', 2, 'u32')
    const s = expectInput('quantizedExpertLinear', scales, 'scales', 2, 'f16')
    const inputs = { x, weight: w, ids, norm }
    const { rows, slots, cols, outputs } = inferExperts('quantizedExpertLinear', inputs, attributes)
    inferQuantized('quantizedExpertLinear', cols, w, s, zeros, attributes)
    return [{ shape: [rows, slots * outputs], dtype: 'f32' }]
  },
  reference([x, words, scales, zeros, ids, norm], [out], attributes) {
    const rows = rowsOfSlots(x!, ids!, norm, attributes).map((row) => quantizeRow(row, attributes))
    const outputs = out!.cols / ids!.cols
    forEachOutput(ids!, outputs, (row, n, slots) => {
      const dot = quantizedOutput({ words: words!, scales: scales!, zeros }, row, attributes)
      for (const slot of slots)
        out!.set(Math.floor(slot / ids!.cols), (slot % ids!.cols) * outputs + n, dot(rows[slot]!))
    })
  },
  cost([x, words, scales, , ids], [out], attributes, values) {
    const read = (byteLengthOf(words!) + byteLengthOf(scales!)) * shareOfExperts(ids!, attributes, values?.[4])
    const cols = Math.floor((words!.shape[1]! * 32) / attributes['bits']!)
    const flops = 2 * (byteLengthOf(out!) / 4) * cols
    return { flops, bytes: byteLengthOf(x!) + read + byteLengthOf(ids!) + byteLengthOf(out!) }
  },
  cases() {
    const random = new CaseRandom(18)
    return expertSizes.flatMap((size, i) =>
      [4, 8].flatMap((bits) =>
        ['one scale', 'scales and zeros'].map((form, f) => {
          const { rows, slots, experts, k, n } = size
          const group = k % 128 === 0 ? 128 : 32
          const groups = form === 'one scale' ? 1 : Math.ceil(k / group)
          const prologue = (i + f) % 3
          const perSlot = (i + f + bits / 4) % 2
          const width = (perSlot ? slots : 1) * (prologues[prologue] === 'siluMul' ? 2 * k : k)
          return {
            label: `${rows}x${k} by ${slots} of ${experts}x${n}, ${bits} bits, ${form}, ${prologues[prologue]}`,
            inputs: [
              random.normal([rows, width]),
              random.integers([experts * n, Math.ceil((k * bits) / 32)], 2 ** 32, 'u32', 'linear'),
              random.normal([experts * n, groups], 'f16', 0.01, 'linear'),
              form === 'one scale' ? undefined : random.integers([experts * n, groups], 2 ** bits, 'u8', 'linear'),
              drawIds(random, size),
              prologues[prologue] === 'rmsNorm' ? random.normal([k]) : undefined,
            ],
            attributes: { bits, group, numExperts: experts, perSlot, prologue, eps: 1e-5 },
          }
        }),
      ),
    )
  },
}

/** Integer product with the weights of chosen experts, stacked along their outputs; experts have no bias. */
export function quantizedExpertLinear(
  x: Tensor,
  { words, scales, zeros, bits, group }: Omit<QuantizedWeight, 'bias'>,
  choice: ExpertChoice,
  fusion: ExpertFusion = {},
): Tensor {
  const inputs = [x, words, scales, zeros, choice.ids, fusion.norm?.weight]
  return x.device.record(quantizedExpertLinearOp, inputs, { bits, group, ...expertAttributes(choice, fusion) })[0]!
}
