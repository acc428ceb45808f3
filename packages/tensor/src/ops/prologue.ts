import { expectInput, expectShape, type Attributes } from '../op.ts'
import { colsOf, rowsOf, type Spec, type Tensor } from '../tensor.ts'
import { bf16ToF32, f32ToBf16 } from '../dtype.ts'
import { View } from '../view.ts'
import { rmsNormOp } from './rms-norm.ts'
import { siluMulOp } from './elementwise.ts'

/** What a product does to its rows before it multiplies them; the attribute `prologue` is the place in this list. */
export const prologues = ['none', 'rmsNorm', 'siluMul'] as const

/** What the rows of a product are rounded to; the attribute `rounding` is the place in this list. */
export const activationTypes = ['f32', 'bf16'] as const
export type ActivationType = (typeof activationTypes)[number]

/** Attribute of the rounding. */
export function roundingOf(activations: ActivationType | undefined): Attributes {
  return { rounding: activationTypes.indexOf(activations ?? 'f32') }
}

/** Checks the rounding: bf16 goes with bf16 weights alone. */
export function inferRounding(op: string, weight: Spec, { rounding }: Attributes): void {
  expectShape(op, activationTypes[rounding!] !== undefined, () => `rounding ${rounding}`)
  expectShape(op, rounding === 0 || weight.dtype === 'bf16', () => `bf16 rows meet a weight in ${weight.dtype}`)
}

/**
 * Work that a product takes along, which saves a pass over the rows and a meeting of the threads for each. The result has
 * the bits of the ops rmsNorm, siluMul and add recorded one by one.
 */
export interface Fusion {
  /** The product is that of rmsNorm(x): weight [K]. */
  readonly norm?: { readonly weight: Tensor; readonly eps: number } | undefined
  /** The product is that of siluMul(x), x being [R, 2K]. */
  readonly siluMul?: boolean
  /** Added to the result, [R, N]. */
  readonly residual?: Tensor | undefined
}

/** Attributes of the prologue. */
export function prologueOf({ norm, siluMul }: Fusion): Attributes {
  const kind = norm ? 'rmsNorm' : siluMul ? 'siluMul' : 'none'
  return { prologue: prologues.indexOf(kind), eps: norm?.eps ?? 0 }
}

/** Checks the prologue's inputs and gives the number of columns that come out of it. */
export function inferPrologue(op: string, x: Spec, norm: Spec | undefined, { prologue }: Attributes): number {
  const kind = prologues[prologue!]
  expectShape(op, kind !== undefined, () => `prologue ${prologue}`)
  expectShape(
    op,
    (kind === 'rmsNorm') === (norm !== undefined),
    () => 'a norm comes with its weight, nothing else does',
  )
  if (norm) expectShape(op, norm.shape[0] === colsOf(x), () => `x is [${x.shape}], its norm [${norm.shape}]`)
  return colsOf(kind === 'siluMul' ? siluMulOp.infer([x], {})[0]! : x)
}

/** Checks the residual [R, N]. */
export function inferResidual(op: string, residual: Spec | undefined, rows: number, n: number): void {
  if (!residual) return
  const r = expectInput(op, residual, 'residual', 2, 'f32')
  expectShape(op, rowsOf(r) === rows && colsOf(r) === n, () => `the residual is [${r.shape}], not [${rows}, ${n}]`)
}

/** Rows after the prologue, rounded to f32 as a result of its own would be. */
export function preparedRows(x: View, norm: View | undefined, { prologue, eps, rounding }: Attributes): Float64Array[] {
  const kind = prologues[prologue!]!
  const round = activationTypes[rounding ?? 0] === 'bf16' ? (v: number) => bf16ToF32(f32ToBf16(v)) : undefined
  if (kind === 'none') return Array.from({ length: x.rows }, (_, r) => (round ? x.row(r).map(round) : x.row(r)))
  const shape = [x.rows, kind === 'siluMul' ? x.cols / 2 : x.cols] as const
  const out = new View({ shape, dtype: 'f32' }, new Float32Array(shape[0] * shape[1]))
  if (kind === 'rmsNorm') rmsNormOp.reference([x, norm], [out], { eps: eps! })
  else siluMulOp.reference([x], [out], {})
  return preparedRows(out, undefined, { prologue: 0, rounding: rounding ?? 0 })
}
