import type { DType, TypedArray } from './dtype.ts'
import { SlipwayError } from './errors.ts'
import type { Spec } from './tensor.ts'
import type { View } from './view.ts'

/** Op attributes are plain numbers, so that a program is data: it can be packed, stored and compared. */
export type Attributes = Readonly<Record<string, number>>

/** What a device's result may differ from the reference: |a - b| <= absolute + relative * |b|. Both 0 means equal bits. */
export interface Tolerance {
  readonly absolute: number
  readonly relative: number
}

export interface Cost {
  readonly flops: number
  /** Bytes that must be read or written at least once. */
  readonly bytes: number
}

/** Elements of those inputs whose values are known, such as positions; by input. */
export type KnownValues = readonly (ArrayLike<number> | undefined)[]

/** A tensor with values, for tests and benchmarks. `role` says that a device may lay it out in its own way. */
export interface HostTensor extends Spec {
  readonly data: TypedArray
  readonly role?: WeightRole
}

/** What a weight or a cache is used for, which decides its layout. */
export type WeightRole = 'linear' | 'vector' | 'keys' | 'values'

export interface OpCase {
  readonly label: string
  readonly inputs: readonly (HostTensor | undefined)[]
  readonly attributes: Attributes
}

/**
 * One op, declared once. Devices implement it; tests and benchmarks are generated from it.
 *
 * Contract of every implementation (HOUSE.md, contract 1): output row i depends only on row i of the `rowInputs` and
 * on the other inputs, with one fixed order of reduction, whatever the number of rows and threads.
 */
export interface Op {
  readonly name: string
  /** Names of the inputs, for messages; a name that ends in `?` may be absent. */
  readonly inputs: readonly string[]
  /** Names of the attributes in the order in which they are packed. */
  readonly attributes: readonly string[]
  /** Inputs whose first axis is the row axis of contract 1. */
  readonly rowInputs: readonly number[]
  /** Inputs that are written in place, where they are not absent. */
  readonly updates?: readonly number[]
  readonly tolerance: Tolerance
  /** Shapes and dtypes of the outputs; throws when the inputs do not fit. */
  infer(inputs: readonly (Spec | undefined)[], attributes: Attributes): readonly Spec[]
  /** The meaning of the op: obvious, slow, sums in f64. */
  reference(inputs: readonly (View | undefined)[], outputs: readonly View[], attributes: Attributes): void
  /** Without the `values` that the work depends on, the bound that the shapes give. */
  cost(
    inputs: readonly (Spec | undefined)[],
    outputs: readonly Spec[],
    attributes: Attributes,
    values?: KnownValues,
  ): Cost
  /** Seeded inputs for the generated tests, odd shapes included. */
  cases(): readonly OpCase[]
}

/** Throws unless `condition` holds; shape faults are ours, since requests are validated long before. */
export function expectShape(op: string, condition: boolean, text: () => string): asserts condition {
  if (!condition) throw new SlipwayError('internal', `${op}: ${text()}`)
}

export function expectInput(op: string, spec: Spec | undefined, name: string, rank: number, ...types: DType[]): Spec {
  expectShape(op, spec !== undefined, () => `input ${name} is missing`)
  expectShape(op, spec.shape.length === rank, () => `${name} has shape [${spec.shape}], ${rank} axes are expected`)
  expectShape(op, types.length === 0 || types.includes(spec.dtype), () => `${name} is ${spec.dtype}, expected ${types}`)
  return spec
}
