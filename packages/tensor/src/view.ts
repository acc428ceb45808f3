import { decoder, encoder, viewAs, type DType, type TypedArray } from './dtype.ts'
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
  readonly #decode: ((bits: number) => number) | undefined
  readonly #encode: ((value: number) => number) | undefined

  constructor(spec: Spec, data: TypedArray, offset = 0, rowStride = colsOf(spec)) {
    this.dtype = spec.dtype
    this.shape = spec.shape
    this.data = data
    this.rows = rowsOf(spec)
    this.cols = colsOf(spec)
    this.offset = offset
    this.rowStride = rowStride
    this.#decode = decoder(spec.dtype)
    this.#encode = encoder(spec.dtype)
  }

  static over(spec: Spec, bytes: Uint8Array, offset = 0, rowStride = colsOf(spec)): View {
    const last = offset + Math.max(0, rowsOf(spec) - 1) * rowStride + colsOf(spec)
    return new View(spec, viewAs(spec.dtype, bytes, sizeOf(spec) === 0 ? 0 : last), offset, rowStride)
  }

  at(row: number, col: number): number {
    const stored = this.data[this.offset + row * this.rowStride + col]!
    return this.#decode ? this.#decode(stored) : stored
  }

  set(row: number, col: number, value: number): void {
    this.data[this.offset + row * this.rowStride + col] = this.#encode ? this.#encode(value) : value
  }

  /** Element i of a one-dimensional tensor. */
  item(i: number): number {
    return this.at(0, i)
  }

  /** A row as numbers; `into` is reused when given. */
  row(row: number, into: Float64Array = new Float64Array(this.cols)): Float64Array {
    const start = this.offset + row * this.rowStride
    const decode = this.#decode
    if (decode) for (let c = 0; c < this.cols; c++) into[c] = decode(this.data[start + c]!)
    else for (let c = 0; c < this.cols; c++) into[c] = this.data[start + c]!
    return into
  }
}
