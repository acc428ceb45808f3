import { bytesOf, type DType } from './dtype.ts'
import type { Device } from './device.ts'
import { SlipwayError } from './errors.ts'

/** Shape and element type: all that is known of a tensor before anything runs. */
export interface Spec {
  readonly shape: readonly number[]
  readonly dtype: DType
}

/**
 * How elements lie in memory. `row`: as the shape says. The others are the cpu device's: `panel` for weights
 * (native/linear.cc), `keyTiles` for cached keys (native/kv-cache.h).
 */
export const layouts = ['row', 'panel', 'keyTiles'] as const
export type Layout = (typeof layouts)[number]

/** Memory owned by a device; only that device looks inside. */
export interface Storage {
  readonly byteLength: number
}

/**
 * A handle: shape, dtype, and where the elements are or will be. Ops take two-dimensional views, `rows` x `cols`,
 * where all axes but the last are folded into rows; a one-dimensional tensor is one row.
 */
export class Tensor implements Spec {
  readonly device: Device
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly layout: Layout
  /** The tensor whose memory this one shows; itself unless it is a view. */
  readonly base: Tensor
  /** First element within the base, in elements. */
  readonly offset: number
  /** Distance between rows, in elements. */
  readonly rowStride: number
  /** Set for resident tensors (inputs, weights, caches, outputs of a finished run); otherwise the planner places it. */
  storage: Storage | undefined

  constructor(
    device: Device,
    spec: Spec,
    options: { storage?: Storage; layout?: Layout; view?: { base: Tensor; offset: number; rowStride: number } } = {},
  ) {
    this.device = device
    this.shape = spec.shape
    this.dtype = spec.dtype
    this.layout = options.layout ?? 'row'
    this.base = options.view?.base ?? this
    this.offset = options.view?.offset ?? 0
    this.rowStride = options.view?.rowStride ?? colsOf(spec)
    this.storage = options.storage
  }
}

export function sizeOf(spec: Spec): number {
  return spec.shape.reduce((product, n) => product * n, 1)
}

export function byteLengthOf(spec: Spec): number {
  return sizeOf(spec) * bytesOf(spec.dtype)
}

export function colsOf(spec: Spec): number {
  return spec.shape.at(-1) ?? 1
}

export function rowsOf(spec: Spec): number {
  return spec.shape.slice(0, -1).reduce((product, n) => product * n, 1)
}

/** Columns [start, end) of a [rows, cols] tensor, without a copy. */
export function columns(x: Tensor, start: number, end: number): Tensor {
  if (x.shape.length !== 2 || x.layout !== 'row' || start < 0 || end > colsOf(x) || start >= end)
    throw new SlipwayError('internal', `columns ${start}..${end} of a tensor of shape [${x.shape}]`)
  return new Tensor(
    x.device,
    { shape: [x.shape[0]!, end - start], dtype: x.dtype },
    { view: { base: x.base, offset: x.offset + start, rowStride: x.rowStride } },
  )
}
