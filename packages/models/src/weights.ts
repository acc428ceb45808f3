import type { TensorSource } from '@slipway/checkpoint'
import {
  bytesOf,
  linear,
  quantizedLinear,
  rmsNorm,
  siluMul,
  readRange,
  SlipwayError,
  toF32,
  viewAs,
  type ActivationType,
  type Device,
  type Fusion,
  type LinearWeight,
  type LoadOptions,
  type LoadReport,
  type QuantizedWeight,
  type StoredRows,
  type Tensor,
  type WeightLoader,
} from '@slipway/tensor'
import type { LoraProduct, LoraTables } from './lora-table.ts'
import type { Purpose } from './model.ts'

export type Quantization = 'wint8' | 'wint4'

/** A linear layer in whichever form it was loaded. */
export type Projection = (LinearWeight | QuantizedWeight) & { readonly lora?: LoraProduct }

/** The adapters of a step's rows: their places i32 [R], -1 for none. */
export interface RowAdapters {
  readonly tables: LoraTables
  readonly places: Tensor
}

/** Applies a linear layer and what the rows' adapters add to it: [R, K] -> [R, N]. */
export function project(x: Tensor, weight: Projection, fusion: Fusion = {}, adapters?: RowAdapters): Tensor {
  const product = (input: Tensor, rest: Fusion): Tensor =>
    'words' in weight ? quantizedLinear(input, weight, rest) : linear(input, weight, rest)
  const { lora } = weight
  if (!adapters || !lora || !adapters.tables.isUsed(lora)) return product(x, fusion)
  // what comes out of the prologue is read twice, so it is made once; a row's bits are the same either way
  const { norm, siluMul: isGated, residual } = fusion
  const input = norm ? rmsNorm(x, norm.weight, norm.eps) : isGated ? siluMul(x) : x
  const y = product(input, { residual })
  adapters.tables.apply(lora, y, input, adapters.places)
  return y
}

export interface WeightOptions {
  /** Float type in which matrices are kept. */
  readonly dtype: 'f32' | 'bf16' | 'f16'
  /** Linear layers as integers with scales: wint8 one per output, wint4 one per group of up to 128 inputs. */
  readonly quantization: Quantization | undefined
  /** The same for the vocabulary matrix, which is otherwise kept in `dtype`. */
  readonly headQuantization?: Quantization | undefined
  /** What rows are rounded to before they meet float weights: bf16, for bf16 weights, or f32, which leaves them as they are. */
  readonly activations?: ActivationType | undefined
  /** What the model is for; default: to generate. */
  readonly purpose?: Purpose | undefined
  /** To classify by logits: the tokens that stand for the classes, in place of a head in the files. */
  readonly classTokenIds?: readonly number[] | undefined
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined
  /** Room for adapters beside the linear layers; absent: none. */
  readonly adapters?: LoraTables | undefined
}

/**
 * Takes tensors out of a checkpoint, checks their shapes, and puts them on the device; matrices have their values after
 * `load`. Remembers what was taken.
 */
export class Weights {
  readonly #source: TensorSource
  readonly #device: Device
  readonly #loader: WeightLoader
  readonly #options: WeightOptions
  readonly #taken = new Set<string>()
  #loadedBytes = 0
  numParameters = 0

  constructor(source: TensorSource, device: Device, options: WeightOptions) {
    this.#source = source
    this.#device = device
    this.#options = options
    this.#loader = device.weightLoader((bytes) => this.#report(bytes))
  }

  /** Fills everything that was taken. */
  load(options: LoadOptions): Promise<LoadReport> {
    return this.#loader.load(options)
  }

  #report(bytes: number): void {
    // a tied head that is rounded on its own is read a second time
    this.#loadedBytes = Math.min(this.#loadedBytes + bytes, this.#source.totalBytes)
    this.#options.onProgress?.(this.#loadedBytes, this.#source.totalBytes)
  }

  /** Where adapters are put; undefined: there is no room for any. */
  get adapters(): LoraTables | undefined {
    return this.#options.adapters
  }

  get purpose(): Purpose {
    return this.#options.purpose ?? 'generate'
  }

  get classTokenIds(): readonly number[] | undefined {
    return this.#options.classTokenIds
  }

  has(name: string): boolean {
    return this.#source.has(name)
  }

  /** Shape of a tensor of the files; a `checkpoint` error when there is none of that name. */
  shape(name: string): readonly number[] {
    return this.#source.info(name).shape
  }

  /** An f32 vector [length]: norms and biases. */
  vector(name: string, length: number): Tensor {
    return this.#device.tensor(this.#values(name, length), [length], 'f32')
  }

  /** Rows of a small embedding [rows, cols] from `first` on, in f32: positions and types. */
  table(name: string, rows: number, cols: number, first = 0): LinearWeight {
    const values = this.#values(name, rows, cols).subarray(first * cols)
    return { weight: this.#device.tensor(values, [rows - first, cols], 'f32') }
  }

  /** Some rows of a matrix [rows, cols] as f32 numbers. */
  someRows(name: string, rows: number, cols: number, ids: readonly number[]): Float32Array[] {
    const { dtype, path, descriptor, offset } = this.#take(name, [rows, cols])
    const width = cols * bytesOf(dtype)
    return ids.map((id) => {
      const bytes = readRange(path, descriptor, offset + id * width, width)
      return toF32(dtype, viewAs(dtype, bytes, cols))
    })
  }

  /** A small matrix of values that are in no file as they stand. */
  values(values: Float32Array, rows: number, cols: number): LinearWeight {
    return { weight: this.#device.tensor(values, [rows, cols], 'f32') }
  }

  /** Embedding or head [rows, cols], never quantised. */
  matrix(name: string, rows: number, cols: number): LinearWeight {
    return { weight: this.#loader.floats([this.#take(name, [rows, cols])], cols, this.#options.dtype) }
  }

  /** Says of a matrix that single rows of it are looked up and nothing else. */
  lookedUp({ weight }: LinearWeight): void {
    this.#loader.lookedUp(weight)
  }

  /**
   * A linear layer whose outputs are those of `modules` one after another (q, k and v; gate and up), each `sizes[i]`
   * wide over `cols` inputs. Names are module names: `.weight` and `.bias` are added.
   */
  linear(modules: readonly string[], sizes: readonly number[], cols: number, hasBias: boolean): Projection {
    const projection = this.#projection(modules, sizes, cols, hasBias, this.#options.quantization)
    const lora = this.#options.adapters?.add(modules, sizes, cols)
    return lora ? { ...projection, lora } : projection
  }

  /** The linear layers of experts, stacked as `linear` does; they take no bias and no adapters. */
  experts(modules: readonly string[], sizes: readonly number[], cols: number): Projection {
    return this.#projection(modules, sizes, cols, false, this.#options.quantization)
  }

  /** The vocabulary matrix [rows, cols]; a tied one is that of `embedding` unless it is rounded on its own. */
  head(module: string, rows: number, cols: number, embedding: LinearWeight | undefined): Projection {
    const { headQuantization } = this.#options
    if (embedding && headQuantization === undefined) return { ...embedding, activations: this.#options.activations }
    return this.#projection([module], [rows], cols, false, headQuantization)
  }

  #projection(
    modules: readonly string[],
    sizes: readonly number[],
    cols: number,
    hasBias: boolean,
    quantization: Quantization | undefined,
  ): Projection {
    const parts = modules.map((name, i) => this.#take(`${name}.weight`, [sizes[i]!, cols]))
    const bias = hasBias ? { bias: this.#bias(modules, sizes) } : {}
    const { dtype, activations } = this.#options
    if (quantization === undefined) return { weight: this.#loader.floats(parts, cols, dtype), activations, ...bias }
    const bits = quantization === 'wint4' ? 4 : 8
    const group = groupOf(cols)
    // one scale per output is a single group as wide as the layer
    const rounded = this.#loader.rounded(parts, cols, { bits, group: bits === 4 ? group : cols })
    return { ...rounded, bits, group, ...bias }
  }

  #bias(modules: readonly string[], sizes: readonly number[]): Tensor {
    const values = new Float32Array(sizes.reduce((a, b) => a + b, 0))
    let start = 0
    for (const [i, name] of modules.entries()) {
      values.set(this.#values(`${name}.bias`, sizes[i]!), start)
      start += sizes[i]!
    }
    return this.#device.tensor(values, [values.length], 'f32')
  }

  #values(name: string, ...shape: readonly number[]): Float32Array {
    const { dtype } = this.#take(name, shape)
    const length = shape.reduce((a, b) => a * b, 1)
    const bytes = this.#source.bytes(name)
    this.#report(bytes.byteLength)
    return toF32(dtype, viewAs(dtype, bytes, length))
  }

  #take(name: string, shape: readonly number[]): StoredRows {
    const info = this.#source.info(name)
    if (info.shape.length !== shape.length || info.shape.some((n, i) => n !== shape[i]))
      throw new SlipwayError(
        'checkpoint',
        `tensor ${name} has shape [${info.shape}], config.json asks for [${shape}]: the files do not belong together`,
        { tensor: name },
      )
    if (info.dtype !== 'f32' && info.dtype !== 'bf16' && info.dtype !== 'f16')
      throw new SlipwayError('unsupported', `tensor ${name} is stored as ${info.dtype}, not as a float type`, {
        tensor: name,
      })
    if (!this.#taken.has(name)) this.numParameters += shape.reduce((a, b) => a * b, 1)
    this.#taken.add(name)
    return this.#source.rows(name)
  }

  /** Every tensor of the files must have found its place, save those that a tied head or old exports repeat. */
  finish(ignored: readonly RegExp[]): void {
    const left = [...this.#source.names].filter((name) => !this.#taken.has(name) && !ignored.some((r) => r.test(name)))
    if (left.length > 0)
      throw new SlipwayError(
        'checkpoint',
        `${left.length} tensors have no place in this architecture, first ${left[0]}; config.json and weights differ`,
        { tensor: left[0]! },
      )
  }
}

/** The widest usual group that divides the inputs; a width that none divides ends in a shorter group. */
function groupOf(cols: number): number {
  return [128, 64, 32].find((group) => cols % group === 0) ?? 32
}
