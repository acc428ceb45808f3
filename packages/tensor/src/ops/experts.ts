import { expectInput, expectShape, type Attributes } from '../op.ts'
import { colsOf, rowsOf, type Spec, type Tensor } from '../tensor.ts'
import { View } from '../view.ts'
import { inferPrologue, preparedRows, prologueOf, type Fusion } from './prologue.ts'
import type { CaseRandom } from './random.ts'
import type { HostTensor } from '../op.ts'

/** Which experts a product is with. */
export interface ExpertChoice {
  /** i32 [R, k], below `numExperts`; a slot of a row is one of its k choices. */
  readonly ids: Tensor
  readonly numExperts: number
  /** Whether x has columns for every slot, [R, k * K], or all slots of a row share them, [R, K]. */
  readonly perSlot: boolean
}

/** What products with experts take along. */
export type ExpertFusion = Omit<Fusion, 'residual'>

/** Attributes of the choice and the prologue. */
export function expertAttributes({ numExperts, perSlot }: ExpertChoice, fusion: ExpertFusion): Attributes {
  return { numExperts, perSlot: Number(perSlot), ...prologueOf(fusion) }
}

/** Checks x, ids and norm; gives R, k, the columns of a slot after the prologue, and the outputs of an expert. */
export function inferExperts(
  op: string,
  { x, weight, ids, norm }: Readonly<Record<'x' | 'weight' | 'ids' | 'norm', Spec | undefined>>,
  attributes: Attributes,
): { rows: number; slots: number; cols: number; outputs: number } {
  const a = expectInput(op, x, 'x', 2, 'f32')
  const i = expectInput(op, ids, 'ids', 2, 'i32')
  const [rows, slots] = [rowsOf(a), colsOf(i)]
  expectShape(op, rowsOf(i) === rows, () => `x is [${a.shape}], the ids [${i.shape}]`)
  const width = attributes['perSlot'] ? colsOf(a) / slots : colsOf(a)
  expectShape(op, Number.isInteger(width), () => `x is [${a.shape}] for ${slots} slots`)
  const outputs = weight!.shape[0]! / attributes['numExperts']!
  const isWhole = Number.isInteger(outputs)
  expectShape(op, isWhole, () => `the weight is [${weight!.shape}] for ${attributes['numExperts']} experts`)
  const cols = inferPrologue(op, { shape: [rows, width], dtype: 'f32' }, norm, attributes)
  return { rows, slots, cols, outputs }
}

/** The rows of every slot after the prologue, in the order of the slots; slots that share their columns share a row. */
export function rowsOfSlots(x: View, ids: View, norm: View | undefined, attributes: Attributes): Float64Array[] {
  const sources = attributes['perSlot'] ? ids.cols : 1
  const shape = [x.rows * sources, x.cols / sources] as const
  const flat = new View({ shape, dtype: 'f32' }, new Float32Array(x.rows * x.cols))
  for (let r = 0; r < x.rows; r++)
    for (let c = 0; c < x.cols; c++) flat.set(r * sources + Math.floor(c / shape[1]), c % shape[1], x.at(r, c))
  const prepared = preparedRows(flat, norm, attributes)
  return Array.from(
    { length: ids.rows * ids.cols },
    (_, slot) => prepared[sources === 1 ? Math.floor(slot / ids.cols) : slot]!,
  )
}

/** Calls body(n, slots) for every output n of every expert: `row` is its row of the weight. */
export function forEachOutput(
  ids: View,
  outputs: number,
  body: (row: number, n: number, slots: readonly number[]) => void,
): void {
  const chosen = new Map<number, number[]>()
  for (let slot = 0; slot < ids.rows * ids.cols; slot++) {
    const id = ids.at(Math.floor(slot / ids.cols), slot % ids.cols)
    chosen.set(id, [...(chosen.get(id) ?? []), slot])
  }
  for (const [id, slots] of chosen) for (let n = 0; n < outputs; n++) body(id * outputs + n, n, slots)
}

/** The part of the stacked weights that the slots read: that of the experts in `values`, or the bound for so many. */
export function shareOfExperts(ids: Spec, { numExperts }: Attributes, values: ArrayLike<number> | undefined): number {
  const read = values ? new Set(Array.from(values)).size : rowsOf(ids) * colsOf(ids)
  return Math.min(1, read / numExperts!)
}

export interface ExpertSize {
  readonly rows: number
  readonly slots: number
  readonly experts: number
  readonly k: number
  readonly n: number
}

/** Sizes of op cases: one expert for all, experts that nobody chose, many rows of few experts, outputs off the panels. */
export const expertSizes: readonly ExpertSize[] = [
  { rows: 1, slots: 1, experts: 1, k: 32, n: 1 },
  { rows: 1, slots: 2, experts: 8, k: 256, n: 64 },
  { rows: 2, slots: 3, experts: 5, k: 96, n: 40 },
  { rows: 7, slots: 4, experts: 6, k: 128, n: 70 },
  { rows: 23, slots: 2, experts: 3, k: 104, n: 17 },
  { rows: 150, slots: 2, experts: 4, k: 136, n: 96 },
]

/** Different ids for the slots of a row. */
export function drawIds(random: CaseRandom, { rows, slots, experts }: ExpertSize): HostTensor {
  const ids = random.integers([rows, slots], experts)
  for (let r = 0; r < rows; r++)
    for (let s = 1; s < slots; s++) {
      const earlier = new Set(ids.data.subarray(r * slots, r * slots + s))
      while (earlier.has(ids.data[r * slots + s]!)) ids.data[r * slots + s] = (ids.data[r * slots + s]! + 1) % experts
    }
  return ids
}
