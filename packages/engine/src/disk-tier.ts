import { setTimeout } from 'node:timers/promises'
import type { BlockOwner, BlockPool } from './block-pool.ts'
import type { BlockName, KvDiskCache } from './kv-disk-cache.ts'
import type { KvMemory } from './kv-memory.ts'
import type { CacheText, PrefixCache } from './prefix-cache.ts'

/** Blocks copied for writing in a step, so that nobody waits for it; the rest when there is nothing else to do. */
const storesPerStep = 2
/** Files read at once. */
const readsAtOnce = 16
/** Blocks that wait to be copied; beyond that the oldest are given up. */
const maxQueue = 4096

/**
 * Between the prefix cache and its files. Blocks that the cache keeps are copied out after steps and written meanwhile.
 * A sequence whose next blocks lie on disk waits until they are in memory, where it then finds them like any others.
 */
export class DiskTier {
  readonly #disk: KvDiskCache
  readonly #pool: BlockPool
  readonly #cache: PrefixCache
  readonly #memory: KvMemory
  readonly #queue = new Map<string, { readonly name: BlockName; readonly block: number }>()
  readonly #fetches = new Map<CacheText, Promise<void>>()
  readonly #fetched = new WeakSet<CacheText>()
  /** Blocks that came from disk. */
  numFetched = 0

  constructor(parts: { disk: KvDiskCache; pool: BlockPool; cache: PrefixCache; memory: KvMemory }) {
    this.#disk = parts.disk
    this.#pool = parts.pool
    this.#cache = parts.cache
    this.#memory = parts.memory
    parts.cache.onAdd = (text, i, block) => {
      const name = this.#cache.nameOf(text, i)
      if (this.#disk.has(name.key)) return
      this.#queue.set(name.key, { name, block })
      if (this.#queue.size > maxQueue) this.#queue.delete(this.#queue.keys().next().value!)
    }
  }

  /** Whether a text has to wait for blocks from disk, of which the first `numMatched` are in memory. Asks for them. */
  isFetching(text: CacheText, numMatched: number): boolean {
    if (this.#fetches.has(text)) return true
    // once is enough: what was evicted meanwhile is computed
    if (this.#fetched.has(text)) return false
    const most = Math.floor((text.tokens.length - 1) / this.#pool.blockSize)
    const keys = this.#cache.keysOf(text, most)
    let end = numMatched
    while (end < Math.min(most, numMatched + this.#pool.numAvailable) && this.#disk.has(keys[end]!)) end++
    if (end === numMatched) return false
    this.#fetched.add(text)
    const fetch = this.#fetch(text, numMatched, end).finally(() => this.#fetches.delete(text))
    this.#fetches.set(text, fetch)
    return true
  }

  async #fetch(text: CacheText, start: number, end: number): Promise<void> {
    for (let first = start; first < end; first += readsAtOnce) {
      const places = Array.from({ length: Math.min(readsAtOnce, end - first) }, (_, i) => first + i)
      const { bytesPerBlock } = this.#memory
      const read = await Promise.all(places.map((i) => this.#disk.read(this.#cache.nameOf(text, i), bytesPerBlock)))
      const missing = read.indexOf(undefined)
      const whole = (missing < 0 ? read : read.slice(0, missing)) as Uint8Array[]
      if (!this.#adopt(text, first, whole) || missing >= 0) return
    }
  }

  /** Puts bytes into blocks and these into the cache; false if there was no room or the beginning is gone. */
  #adopt({ tokens, cacheSalt }: CacheText, first: number, contents: readonly Uint8Array[]): boolean {
    const { blockSize } = this.#pool
    const count = first + contents.length
    const owner: BlockOwner = {
      tokens: tokens.slice(0, count * blockSize + 1),
      cacheSalt,
      blockKeys: [],
      blocks: [],
      numComputed: 0,
      numCommitted: 0,
    }
    this.#pool.share(owner, this.#pool.match(owner))
    const known = owner.blocks.length
    const fits = known >= first && count - known <= this.#pool.numAvailable
    if (fits) {
      this.#pool.grow(owner, count)
      for (let i = known; i < count; i++) this.#memory.write(owner.blocks[i]!, contents[i - first]!)
      owner.numComputed = count * blockSize
      this.#pool.commit(owner)
      this.numFetched += count - known
    }
    this.#pool.release(owner)
    return fits
  }

  /** Copies some blocks out for writing; all of them when there is time. */
  async store(most = storesPerStep): Promise<void> {
    for (const [key, { name, block }] of this.#queue) {
      if (most-- <= 0) return
      this.#queue.delete(key)
      // evicted before it could be written
      if (this.#cache.blockOf(key) !== block) continue
      this.#disk.write(name, await this.#memory.read(block))
    }
  }

  /** Waits for a fetch under way to end, but never long: new requests may come in. */
  async fetched(): Promise<void> {
    if (this.#fetches.size > 0) await Promise.race([...this.#fetches.values(), setTimeout(2)])
  }

  /** Writes all that is left. */
  async flush(): Promise<void> {
    // a few at a time: copies take memory until they are written
    while (this.#queue.size > 0) {
      await this.store(readsAtOnce)
      await this.#disk.settled()
    }
    await this.#disk.settled()
  }
}
