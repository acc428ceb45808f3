import type { Attributes, Op, WeightRole } from './op.ts'
import type { Spec } from './tensor.ts'

export interface BenchInput extends Spec {
  /** Element i before conversion, for a set of inputs; zeros by default. */
  readonly value?: (i: number, set: number) => number
  readonly role?: WeightRole
}

export interface BenchCase {
  readonly op: Op
  readonly label: string
  readonly inputs: readonly (BenchInput | undefined)[]
  readonly attributes: Attributes
  /** So many sets of inputs over one weight, of which each reads another part; absent: copies of the weight. */
  readonly sets?: number
}

export const noise = (i: number): number => ((Math.imul(i + 1, 0x9e3779b1) >>> 8) / 2 ** 24 - 0.5) * 2
export const f32 = (...shape: number[]): BenchInput => ({ shape, dtype: 'f32', value: noise })
export const i32 = (value: (i: number, set: number) => number, ...shape: number[]): BenchInput => ({
  shape,
  dtype: 'i32',
  value,
})

/** Copies of the weight until they are this large leave nothing of it in the caches. */
export const coldBytes: number = 2 ** 27
