import { decodingTable, encoder, viewAs, type DType, type TypedArray } from './dtype.ts'
import { colsOf, rowsOf, sizeOf, type Spec } from './tensor.ts'

/** A tensor as the reference kernels see it: rows x cols of numbers, whatever the stored type. */
export class View {
  readonly data: TypedArray
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly rows: number
  readonly cols: number
  readonly offset: number
  readonly rowStride: number
  readonly #table: Float32Array | undefined
  readonly #encode: ((value: number) => number) | undefined

  constructor(spec: Spec, data: TypedArray, offset = 0, rowStride = colsOf(spec)) {
    this.dtype = spec.dtype
    this.shape = spec.shape
    this.data = data
    this.rows = rowsOf(spec)
    this.cols = colsOf(spec)
    this.offset = offset
    this.rowStride = rowStride
    this.#table = decodingTable(spec.dtype)
    this.#encode = encoder(spec.dtype)
  }

  static over(spec: Spec, bytes: Uint8Array, offset = 0, rowStride = colsOf(spec)): View {
    const last = offset + Math.max(0, rowsOf(spec) - 1) * rowStride + colsOf(spec)
    return new View(spec, viewAs(spec.dtype, bytes, sizeOf(spec) === 0 ? 0 : last), offset, rowStride)
  }

  at(row: number, col: number): number {
    const stored = this.data[this.offset + row * this.rowStride + col]!
    return this.#table ? this.#table[stored]! : stored
  }

  set(row: number, col: number, value: number): void {
    this.data[this.offset + row * this.rowStride + col] = this.#encode ? this.#encode(value) : value
  }

  /** Element i of a one-dimensional tensor. */
  item(i: number): number {
    return this.at(0, i)
  }

  /** A row as numbers; `into` is reused when given, from element `at` on. */
  row(row: number, into: Float64Array = new Float64Array(this.cols), at = 0): Float64Array {
    const start = this.offset + row * this.rowStride
    if (this.#table) decodeInto(into, at, this.#table, this.data, start, this.cols)
    else into.set(this.data.subarray(start, start + this.cols), at)
    return into
  }
}

/** Apart, since the reference device spends its time here: it is compiled for the 16-bit floats alone. */
function decodeInto(
  into: Float64Array,
  at: number,
  table: Float32Array,
  stored: TypedArray,
  start: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) into[at + i] = table[stored[start + i]!]!
}
