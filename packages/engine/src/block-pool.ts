import { SlipwayError } from '@slipway/tensor'

/**
 * The KV memory, handed out in blocks of `blockSize` tokens. A block is free or owned by one sequence; which blocks a
 * sequence gets never changes its answer. Contract 4: free + cached + owned = total.
 */
export class BlockPool {
  readonly total: number
  readonly blockSize: number
  readonly #free: number[]

  constructor(total: number, blockSize: number) {
    this.total = total
    this.blockSize = blockSize
    this.#free = Array.from({ length: total }, (_, i) => total - 1 - i)
  }

  get numFree(): number {
    return this.#free.length
  }

  /** Blocks that hold `tokens` tokens. */
  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockSize)
  }

  /** Moves blocks into `owned` until it holds `count`; the caller has checked that enough are free. */
  grow(owned: number[], count: number): void {
    while (owned.length < count) {
      const block = this.#free.pop()
      if (block === undefined) throw new SlipwayError('internal', `no free block left of ${this.total}`)
      owned.push(block)
    }
  }

  /** Takes all blocks back; `owned` is empty afterwards. */
  release(owned: number[]): void {
    while (owned.length > 0) this.#free.push(owned.pop()!)
  }

  /** Throws unless every block is either free or in exactly one of `owners`. */
  check(owners: Iterable<readonly number[]>): void {
    const seen = new Uint8Array(this.total)
    for (const list of [this.#free, ...owners]) for (const block of list) seen[block]! += 1
    const bad = seen.findIndex((times) => times !== 1)
    if (bad >= 0) throw new SlipwayError('internal', `block ${bad} is held ${seen[bad]} times; ${this.total} in all`)
  }
}
