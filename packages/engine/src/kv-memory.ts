import { Tensor, type KvCache } from '@slipway/tensor'

/** What the system gives memory by, where pages are huge. */
const pageBytes = 2 ** 21

/** The KV caches of all layers, as bytes of one block: copied out and in, in whatever layout the device keeps them. */
export class KvMemory {
  readonly #tensors: readonly Tensor[]
  /** By tensor: the first block of the page to be prepared next. */
  readonly #ahead: number[]

  /** Every tensor of a cache has blocks as its first dimension. */
  constructor(caches: readonly KvCache[]) {
    // whatever belongs to a cache: keys, values, and scales if there are any
    const tensorsOf = (part: unknown): Tensor[] =>
      part instanceof Tensor ? [part] : Object.values(part ?? {}).flatMap(tensorsOf)
    this.#tensors = caches.flatMap(tensorsOf)
    this.#ahead = this.#tensors.map(() => 0)
  }

  /** What the bytes of a block mean: types, layouts and shapes. */
  get format(): readonly string[] {
    return this.#tensors.map(({ dtype, layout, shape }) => `${dtype} ${layout} ${shape.slice(1).join('x')}`)
  }

  get bytesPerBlock(): number {
    return this.#tensors.reduce((sum, tensor) => sum + tensor.device.sliceBytes(tensor), 0)
  }

  async read(block: number): Promise<Uint8Array> {
    return Buffer.concat(await Promise.all(this.#tensors.map((tensor) => tensor.device.readSlice(tensor, block))))
  }

  async copy(from: number, to: number): Promise<void> {
    this.write(to, await this.read(from))
  }

  /** Gives the memory back to the system where the device can; no block holds anything any more. */
  release(): void {
    for (const tensor of this.#tensors) tensor.device.release(tensor)
  }

  /**
   * Has the system give one more page of memory, ahead of the blocks in use, which are those below `reach`. The layers all
   * come to the end of their pages in the same step, and fifty pages that are made at once can take many steps' time; to be
   * called once a step, between steps. Begins so late that texts which stay within their pages never pay for the next.
   */
  prepare(reach: number): void {
    // a page a step, in steps that seldom fill more than two blocks
    const warning = 2 * this.#tensors.length
    for (const [i, tensor] of this.#tensors.entries()) {
      const slice = tensor.device.sliceBytes(tensor)
      const stride = Math.max(1, Math.floor(pageBytes / slice))
      const block = Math.max(this.#ahead[i]!, Math.ceil(reach / stride) * stride)
      this.#ahead[i] = block
      if (block >= Math.min(tensor.shape[0]!, reach + Math.min(stride, warning))) continue
      tensor.device.writeSlice(tensor, block, new Uint8Array(slice))
      this.#ahead[i] = block + stride
      return
    }
  }

  write(block: number, bytes: Uint8Array): void {
    let at = 0
    for (const tensor of this.#tensors) {
      const length = tensor.device.sliceBytes(tensor)
      tensor.device.writeSlice(tensor, block, bytes.subarray(at, at + length))
      at += length
    }
  }
}
