import type { TensorSource } from '@slipway/checkpoint'
import {
  linear,
  quantizedLinear,
  SlipwayError,
  toF32,
  viewAs,
  type Device,
  type DType,
  type Fusion,
  type LinearWeight,
  type QuantizedWeight,
  type Tensor,
} from '@slipway/tensor'
import { convertFloats, quantizeGroups } from './convert.ts'

export type Quantization = 'wint8' | 'wint4'

/** A linear layer in whichever form it was loaded. */
export type Projection = LinearWeight | QuantizedWeight

/** Applies a linear layer: [R, K] -> [R, N]. */
export function project(x: Tensor, weight: Projection, fusion: Fusion = {}): Tensor {
  return 'words' in weight ? quantizedLinear(x, weight, fusion) : linear(x, weight, fusion)
}

export interface WeightOptions {
  /** Float type in which matrices are kept. */
  readonly dtype: 'f32' | 'bf16' | 'f16'
  /** Linear layers as integers with scales: wint8 one per output, wint4 one per group of up to 128 inputs. */
  readonly quantization: Quantization | undefined
  /** The same for the vocabulary matrix, which is otherwise kept in `dtype`. */
  readonly headQuantization?: Quantization | undefined
  readonly onProgress?: ((loadedBytes: number, totalBytes: number) => void) | undefined
}

/** Takes tensors out of a checkpoint, checks their shapes, and puts them on the device. Remembers what was taken. */
export class Weights {
  readonly #source: TensorSource
  readonly #device: Device
  readonly #options: WeightOptions
  readonly #taken = new Set<string>()
  #loadedBytes = 0
  numParameters = 0

  constructor(source: TensorSource, device: Device, options: WeightOptions) {
    this.#source = source
    this.#device = device
    this.#options = options
  }

  has(name: string): boolean {
    return this.#source.has(name)
  }

  /** An f32 vector [length]: norms and biases. */
  vector(name: string, length: number): Tensor {
    const { bytes, dtype } = this.#take(name, [length])
    return this.#device.tensor(toF32(dtype, viewAs(dtype, bytes, length)), [length], 'f32')
  }

  /** Embedding or head [rows, cols], never quantised. */
  matrix(name: string, rows: number, cols: number): LinearWeight {
    const part = this.#take(name, [rows, cols])
    const bytes = convertFloats(part.bytes, part.dtype, this.#options.dtype)
    return { weight: this.#device.weight('linear', [bytes], [rows, cols], this.#options.dtype) }
  }

  /**
   * A linear layer whose outputs are those of `modules` one after another (q, k and v; gate and up), each `sizes[i]`
   * wide over `cols` inputs. Names are module names: `.weight` and `.bias` are added.
   */
  linear(modules: readonly string[], sizes: readonly number[], cols: number, hasBias: boolean): Projection {
    return this.#projection(modules, sizes, cols, hasBias, this.#options.quantization)
  }

  /** The vocabulary matrix [rows, cols]; a tied one is that of `embedding` unless it is rounded on its own. */
  head(module: string, rows: number, cols: number, embedding: LinearWeight | undefined): Projection {
    const { headQuantization } = this.#options
    if (embedding && headQuantization === undefined) return embedding
    return this.#projection([module], [rows], cols, false, headQuantization)
  }

  #projection(
    modules: readonly string[],
    sizes: readonly number[],
    cols: number,
    hasBias: boolean,
    quantization: Quantization | undefined,
  ): Projection {
    const rows = sizes.reduce((a, b) => a + b, 0)
    const parts = modules.map((name, i) => this.#take(`${name}.weight`, [sizes[i]!, cols]))
    const bias = hasBias ? { bias: this.#bias(modules, sizes) } : {}
    if (quantization === undefined) {
      const bytes = parts.map((part) => convertFloats(part.bytes, part.dtype, this.#options.dtype))
      return { weight: this.#device.weight('linear', bytes, [rows, cols], this.#options.dtype), ...bias }
    }
    return { ...this.#quantized(parts, sizes, rows, cols, quantization), ...bias }
  }

  #quantized(
    parts: readonly { bytes: Uint8Array; dtype: DType }[],
    sizes: readonly number[],
    rows: number,
    cols: number,
    quantization: Quantization,
  ): QuantizedWeight {
    const bits = quantization === 'wint4' ? 4 : 8
    const group = groupOf(cols)
    // one scale per output is a single group as wide as the layer
    const scaleGroup = bits === 4 ? group : cols
    const quantized = parts.map(({ bytes, dtype }, i) =>
      quantizeGroups(bytes, dtype, sizes[i]!, cols, bits, scaleGroup),
    )
    const pack = (part: 'words' | 'scales', width: number, dtype: DType): Tensor =>
      this.#device.weight(
        'linear',
        quantized.map((q) => q[part]),
        [rows, width],
        dtype,
      )
    return {
      words: pack('words', Math.ceil((cols * bits) / 32), 'u32'),
      scales: pack('scales', Math.ceil(cols / scaleGroup), 'f16'),
      bits,
      group,
    }
  }

  #bias(modules: readonly string[], sizes: readonly number[]): Tensor {
    const values = modules.flatMap((name, i) => {
      const { bytes, dtype } = this.#take(`${name}.bias`, [sizes[i]!])
      return Array.from(toF32(dtype, viewAs(dtype, bytes, sizes[i]!)))
    })
    return this.#device.tensor(values, [values.length], 'f32')
  }

  #take(name: string, shape: readonly number[]): { bytes: Uint8Array; dtype: DType } {
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
    // a tied head that is rounded on its own takes the embedding a second time
    if (!this.#taken.has(name)) {
      this.#loadedBytes += info.byteLength
      this.numParameters += shape.reduce((a, b) => a * b, 1)
    }
    this.#taken.add(name)
    this.#options.onProgress?.(this.#loadedBytes, this.#source.totalBytes)
    return { bytes: this.#source.bytes(name), dtype: info.dtype }
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
