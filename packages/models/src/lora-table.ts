import { isDeepStrictEqual } from 'node:util'
import type { LoraAdapter, LoraModule } from '@slipway/checkpoint'
import {
  addLora,
  byteLengthOf,
  bytesOfArray,
  loraSizes,
  maxLoraParts,
  packLora,
  SlipwayError,
  type Device,
  type LoraPart,
  type LoraTable,
  type Tensor,
} from '@slipway/tensor'

export interface LoraOptions {
  /** Adapters that are on the device at one time. */
  readonly maxLoras: number
  /** Highest rank of any; memory is taken for it in every place. */
  readonly maxLoraRank: number
}

/** Where adapters of one product lie on the device. */
export interface LoraProduct {
  readonly modules: readonly string[]
  readonly table: LoraTable
}

/**
 * The adapters on the device: so many places, each with room for one adapter in every linear layer that can have one. The
 * tensors stay the same while adapters come and go, so steps that were captured stay good.
 */
export class LoraTables {
  readonly numPlaces: number
  readonly #device: Device
  readonly #options: LoraOptions
  readonly #dtype: 'f32' | 'bf16' | 'f16'
  readonly #products: LoraProduct[] = []
  /** By product: the places whose adapters touch it. */
  readonly #users = new Map<LoraProduct, Set<number>>()

  constructor(device: Device, dtype: 'f32' | 'bf16' | 'f16', options: LoraOptions) {
    this.#device = device
    this.#dtype = dtype
    this.#options = options
    this.numPlaces = options.maxLoras
  }

  /**
   * Makes room for a product whose outputs are those of `modules`, one after another. Weights of the same config that are
   * loaded later find the room that is there.
   */
  add(modules: readonly string[], widths: readonly number[], inputs: number): LoraProduct {
    const known = this.#products.find((product) => isDeepStrictEqual(product.modules, modules))
    if (known) return known
    if (widths.length > maxLoraParts) throw new SlipwayError('internal', `${widths.length} parts of a product`)
    const shape = { inputs, widths, maxRank: this.#options.maxLoraRank }
    const { down, up } = loraSizes(shape)
    const zeros = (width: number, dtype = this.#dtype as Tensor['dtype']): Tensor =>
      this.#device.zeros([this.numPlaces, width], dtype)
    const parts = widths.length
    const table = { shape, down: zeros(down), up: zeros(up), ranks: zeros(parts, 'i32'), scales: zeros(parts, 'f32') }
    const product = { modules, table }
    this.#products.push(product)
    this.#users.set(product, new Set())
    return product
  }

  /** Memory of all places. */
  get byteLength(): number {
    return this.#products.reduce((sum, { table: { down, up } }) => sum + byteLengthOf(down) + byteLengthOf(up), 0)
  }

  /** Whether any adapter on the device touches the product. */
  isUsed(product: LoraProduct): boolean {
    return this.#users.get(product)!.size > 0
  }

  /** Changes when other products are touched than before: a step that was recorded then lacks some. */
  get usedProducts(): string {
    return this.#products.map((product) => Number(this.isUsed(product))).join('')
  }

  /** Throws unless every module of the adapter is one of this model's, of its shape, and of a rank that fits. */
  check({ directory, rank, modules }: LoraAdapter): void {
    const { maxLoraRank } = this.#options
    if (rank > maxLoraRank)
      throw new SlipwayError('request', `${directory}: has rank ${rank}, above maxLoraRank ${maxLoraRank}; raise it`, {
        param: 'maxLoraRank',
      })
    for (const { name, inputs, outputs } of modules) {
      const found = this.#find(name)
      if (!found)
        throw new SlipwayError('unsupported', `${directory}: adapts ${name}, ${whyNot(name)}`, { tensor: name })
      const { product, part } = found
      const [cols, rows] = [product.table.shape.inputs, product.table.shape.widths[part]]
      if (inputs !== cols || outputs !== rows)
        throw new SlipwayError(
          'checkpoint',
          `${directory}: adapts ${name} as [${outputs}, ${inputs}], the model's is [${rows}, ${cols}]; it was trained on another model`,
          { tensor: name },
        )
    }
  }

  #find(module: string): { product: LoraProduct; part: number } | undefined {
    const product = this.#products.find(({ modules }) => modules.includes(module))
    return product && { product, part: product.modules.indexOf(module) }
  }

  /**
   * Puts an adapter that fits into a free place. Between products it lets others go on: nothing reads the place before
   * rows name it.
   */
  async write(place: number, adapter: LoraAdapter): Promise<void> {
    const byName = new Map(adapter.modules.map((module) => [module.name, module]))
    for (const product of this.#products) {
      const parts = product.modules.map((name) => partOf(byName.get(name)))
      if (parts.every((part) => part === undefined)) {
        this.#clear(product, place)
        continue
      }
      const { shape, down, up, ranks, scales } = product.table
      const packed = packLora(shape, parts, this.#dtype)
      this.#device.writeSlice(down, place, bytesOfArray(packed.down))
      this.#device.writeSlice(up, place, bytesOfArray(packed.up))
      this.#device.writeSlice(ranks, place, bytesOfArray(Int32Array.from(parts, (part) => part?.rank ?? 0)))
      const factors = product.modules.map((name) => byName.get(name)?.scale ?? 0)
      this.#device.writeSlice(scales, place, bytesOfArray(Float32Array.from(factors)))
      this.#users.get(product)!.add(place)
      await new Promise(setImmediate)
    }
  }

  /** Frees a place that no row names any more. */
  clear(place: number): void {
    for (const product of this.#products) this.#clear(product, place)
  }

  #clear(product: LoraProduct, place: number): void {
    const { ranks } = product.table
    this.#device.writeSlice(ranks, place, new Uint8Array(this.#device.sliceBytes(ranks)))
    this.#users.get(product)!.delete(place)
  }

  /** Records what the adapters of the rows add to the product's results; x is what it multiplied. */
  apply(product: LoraProduct, y: Tensor, x: Tensor, places: Tensor): void {
    addLora(y, x, places, product.table)
  }
}

function partOf(module: LoraModule | undefined): LoraPart | undefined {
  return module && { rank: module.rank, down: module.down(), up: module.up() }
}

function whyNot(module: string): string {
  if (/\.experts\.|\.gate$/.test(module))
    return 'but experts and routers take no adapters here; merge it into the model'
  if (/lm_head|embed/.test(module)) return 'but the vocabulary takes no adapters here; merge it into the model'
  return 'which this model does not have; it was trained on another one'
}
