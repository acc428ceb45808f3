import { SlipwayError } from '@slipway/tensor'
import type { CacheText, PrefixCache } from './prefix-cache.ts'

/** A sequence as far as its blocks are concerned. */
export interface BlockOwner extends CacheText {
  readonly blocks: number[]
  /** Tokens whose keys and values lie in `blocks`. */
  numComputed: number
  /** Blocks that have been offered to the cache. */
  numCommitted: number
  /** Tokens at the beginning whose keys and values are known without computing them. */
  readonly numGiven?: number
  /** From which of those on they are still to be written into the blocks. */
  givenFrom?: number | undefined
}

/** What the memory is used for: cells of `blocksPerCell` blocks, the last one of what is left, in order of block number. */
export interface BlockMap {
  readonly blocksPerCell: number
  /** By cell: how many of its blocks are owned, and how many are cached; the others are free. */
  readonly owned: readonly number[]
  readonly cached: readonly number[]
}

/**
 * The KV memory, handed out in blocks of `blockSize` tokens. A block is free, or owned by one sequence or several that
 * share it, or cached: kept without an owner until its memory is needed. Which blocks a sequence gets never changes its
 * answer. Contract 4: free + cached + owned = total.
 */
export class BlockPool {
  readonly total: number
  readonly blockSize: number
  readonly #free: number[]
  /** By block: how many sequences own it. */
  readonly #owners: Int32Array
  readonly #cache: PrefixCache | undefined
  /** Blocks below this have been handed out before; those above never. */
  reach = 0

  /** Without a cache every block is free again when its sequence ends. */
  constructor(total: number, blockSize: number, cache?: PrefixCache) {
    this.total = total
    this.blockSize = blockSize
    this.#free = Array.from({ length: total }, (_, i) => total - 1 - i)
    this.#owners = new Int32Array(total)
    this.#cache = cache
  }

  get numFree(): number {
    return this.#free.length
  }

  get numCached(): number {
    return this.#cache?.numIdle ?? 0
  }

  /** Blocks that can be handed out: free ones, and cached ones at the price of what they hold. */
  get numAvailable(): number {
    return this.numFree + this.numCached
  }

  get numOwned(): number {
    return this.total - this.numAvailable
  }

  /** Blocks that hold `tokens` tokens. */
  blocksFor(tokens: number): number {
    return Math.ceil(tokens / this.blockSize)
  }

  /** Cached blocks that hold the owner's beginning. Its last token is never among them: somebody wants its logits. */
  match(owner: BlockOwner): number[] {
    return this.#cache?.find(owner, Math.floor((owner.tokens.length - 1) / this.blockSize)) ?? []
  }

  /** Keys of the owner's first `count` blocks; none without a cache. */
  keysOf(owner: BlockOwner, count: number): readonly string[] {
    return this.#cache?.keysOf(owner, count) ?? []
  }

  /** Makes an owner of nothing an owner of matched blocks, computed as they are. */
  share(owner: BlockOwner, matched: readonly number[]): void {
    for (const block of matched) this.#hold(block)
    owner.blocks.push(...matched)
    const numCached = matched.length * this.blockSize
    const { numGiven = 0 } = owner
    owner.numComputed = Math.max(numCached, numGiven)
    owner.givenFrom = numGiven > numCached ? numCached : undefined
    owner.numCommitted = matched.length
  }

  /**
   * Makes an owner of nothing stand where another one does: it shares the full blocks, and gets a block of its own for
   * the rest, which the caller has to fill by copying. The caller has seen to it that a block is available.
   */
  fork(parent: BlockOwner, child: BlockOwner): { readonly from: number; readonly to: number } | undefined {
    const numFull = Math.floor(parent.numComputed / this.blockSize)
    this.share(child, parent.blocks.slice(0, numFull))
    if (parent.numComputed % this.blockSize === 0) return undefined
    this.grow(child, numFull + 1)
    child.numComputed = parent.numComputed
    return { from: parent.blocks[numFull]!, to: child.blocks[numFull]! }
  }

  /** Hands out blocks until the owner has `count`; the caller has seen to it that enough are available. */
  grow({ blocks }: BlockOwner, count: number): void {
    while (blocks.length < count) {
      const block = this.#free.pop() ?? this.#cache?.evict()
      if (block === undefined) throw new SlipwayError('internal', `no block left of ${this.total}`)
      this.#owners[block] = 1
      this.reach = Math.max(this.reach, block + 1)
      blocks.push(block)
    }
  }

  /** Offers blocks that were filled since the last time to the cache. */
  commit(owner: BlockOwner): void {
    const { blocks } = owner
    for (; (owner.numCommitted + 1) * this.blockSize <= owner.numComputed; owner.numCommitted++) {
      const i = owner.numCommitted
      const kept = this.#cache?.add(owner, i, blocks[i]!, blocks[i - 1])
      if (kept === undefined || kept === blocks[i]) continue
      // another sequence computed the same, to the same bits: share its block and give ours back
      this.#hold(kept)
      this.#drop(blocks[i]!)
      blocks[i] = kept
    }
  }

  /** Takes all blocks from an owner, the last one first, as the order of eviction wants it. */
  release(owner: BlockOwner): void {
    while (owner.blocks.length > 0) this.#drop(owner.blocks.pop()!)
    owner.numComputed = 0
    owner.numCommitted = 0
  }

  /** Blocks that would become available if the owner gave up its own. */
  numSole({ blocks }: BlockOwner): number {
    return blocks.reduce((sum, block) => sum + Number(this.#owners[block] === 1), 0)
  }

  /** Forgets all that is cached. */
  reset(): void {
    this.#free.push(...(this.#cache?.clear() ?? []))
  }

  /** A map of `maxCells` cells at most. */
  map(maxCells: number): BlockMap {
    const blocksPerCell = Math.max(1, Math.ceil(this.total / maxCells))
    const numCells = Math.ceil(this.total / blocksPerCell)
    const owned = Array.from({ length: numCells }, () => 0)
    const cached = [...owned]
    for (const [block, owners] of this.#owners.entries()) {
      const cell = Math.floor(block / blocksPerCell)
      if (owners > 0) owned[cell]!++
      else if (this.#cache?.has(block)) cached[cell]!++
    }
    return { blocksPerCell, owned, cached }
  }

  #hold(block: number): void {
    if (this.#owners[block]!++ === 0) this.#cache!.wake(block)
  }

  #drop(block: number): void {
    if (--this.#owners[block]! > 0) return
    if (this.#cache?.has(block)) this.#cache.rest(block)
    else this.#free.push(block)
  }

  /** Throws unless every block is free, cached, or owned by just as many of `owners` as it counts. */
  check(owners: Iterable<BlockOwner>): void {
    const left = this.#owners.slice()
    for (const { blocks } of owners) for (const block of blocks) left[block]!--
    const bad = left.findIndex((count) => count !== 0)
    if (bad >= 0) throw new SlipwayError('internal', `block ${bad} counts ${left[bad]} owners too many`)
    const numOwned = this.#owners.reduce((sum, count) => sum + Number(count > 0), 0)
    if (numOwned !== this.numOwned)
      throw new SlipwayError(
        'internal',
        `${this.numFree} blocks free, ${this.numCached} cached, ${numOwned} owned; ${this.total} in all`,
      )
    const loose = this.#free.find((block) => this.#owners[block] !== 0 || this.#cache?.has(block))
    if (loose !== undefined || new Set(this.#free).size < this.numFree)
      throw new SlipwayError('internal', `free block ${loose ?? 'twice in the list'} is not free`)
    this.#cache?.check()
  }
}
