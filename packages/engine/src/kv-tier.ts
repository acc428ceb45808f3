import { setTimeout } from 'node:timers/promises'
import type { BlockOwner, BlockPool } from './block-pool.ts'
import type { KvDiskCache } from './kv-disk-cache.ts'
import type { KvHostCache } from './kv-host-cache.ts'
import type { KvMemory } from './kv-memory.ts'
import type { CacheText, PrefixCache } from './prefix-cache.ts'

/** A block as the prefix cache names it: its key, the key before it, its tokens. */
export interface BlockName {
  readonly key: string
  readonly parent: string
  readonly ids: readonly number[]
}

/** Where copies of blocks are kept, found by name: in host memory, on disk. */
export interface KvStore {
  has(key: string): boolean
  /** The bytes of just this block; undefined if they are not there, or are not sound. */
  read(name: BlockName, byteLength: number): Promise<Uint8Array | undefined>
  /** Begins to keep a block. What cannot be kept is a later miss. */
  write(name: BlockName, bytes: Uint8Array): void
  /** Waits for all writes. */
  settled(): Promise<void>
}

type BlockMemory = Pick<KvMemory, 'bytesPerBlock' | 'read' | 'write'>

/** Blocks copied for writing in a step, so that nobody waits for it; the rest when there is nothing else to do. */
const storesPerStep = 2
/** Blocks read at once. */
const readsAtOnce = 16
/** Blocks that wait to be copied; beyond that the oldest are given up. */
const maxQueue = 4096

/**
 * Between the prefix cache and what is behind it. Blocks that are evicted are parked in host memory; blocks that are kept
 * are copied out after steps and written to disk meanwhile. A sequence whose next blocks lie in either waits until they
 * are in the device's memory, where it then finds them like any others.
 */
export class KvTier {
  readonly #host: KvHostCache | undefined
  #disk: KvDiskCache | undefined
  readonly #pool: BlockPool
  readonly #cache: PrefixCache
  readonly #memory: BlockMemory
  readonly #queue = new Map<string, { readonly name: BlockName; readonly block: number }>()
  readonly #parking = new Set<Promise<void>>()
  readonly #fetches = new Map<CacheText, Promise<void>>()
  #fetched = new WeakSet<CacheText>()
  /** Blocks that came from disk or host memory. */
  numFetched = 0
  /** Blocks that were evicted into host memory. */
  numParked = 0

  constructor(parts: {
    host?: KvHostCache | undefined
    disk?: KvDiskCache | undefined
    pool: BlockPool
    cache: PrefixCache
    memory: BlockMemory
  }) {
    this.#host = parts.host
    this.#disk = parts.disk
    this.#pool = parts.pool
    this.#cache = parts.cache
    this.#memory = parts.memory
    if (parts.disk)
      parts.cache.onAdd = (text, i, block) => {
        const name = this.#cache.nameOf(text, i)
        if (this.#disk!.has(name.key)) return
        this.#queue.set(name.key, { name, block })
        if (this.#queue.size > maxQueue) this.#queue.delete(this.#queue.keys().next().value!)
      }
    if (parts.host) parts.cache.onEvict = (name, block) => this.#park(name, block)
  }

  get #stores(): KvStore[] {
    return [this.#host, this.#disk].filter((store) => store !== undefined)
  }

  #has(key: string): boolean {
    return this.#stores.some((store) => store.has(key))
  }

  /** The block's next owner writes later than this, so the bytes are still its own. */
  #park(name: BlockName, block: number): void {
    if (this.#host!.has(name.key)) return this.#host!.touch(name.key)
    const parking = this.#memory.read(block).then((bytes) => {
      this.#host!.write(name, bytes)
      this.numParked++
      this.#parking.delete(parking)
    })
    this.#parking.add(parking)
  }

  /** Whether a text has to wait for blocks from behind, of which the first `numMatched` are in memory. Asks for them. */
  isFetching(text: CacheText, numMatched: number): boolean {
    if (this.#fetches.has(text)) return true
    // once is enough: what was evicted meanwhile is computed
    if (this.#fetched.has(text)) return false
    const most = Math.floor((text.tokens.length - 1) / this.#pool.blockSize)
    const keys = this.#cache.keysOf(text, most)
    let end = numMatched
    while (end < Math.min(most, numMatched + this.#pool.numAvailable) && this.#has(keys[end]!)) end++
    if (end === numMatched) return false
    this.#fetched.add(text)
    const fetch = this.#fetch(text, numMatched, end).finally(() => this.#fetches.delete(text))
    this.#fetches.set(text, fetch)
    return true
  }

  /** A text that lost its blocks may fetch them once more. */
  expect(text: CacheText): void {
    this.#fetched.delete(text)
  }

  async #fetch(text: CacheText, start: number, end: number): Promise<void> {
    for (let first = start; first < end; first += readsAtOnce) {
      const places = Array.from({ length: Math.min(readsAtOnce, end - first) }, (_, i) => first + i)
      const read = await Promise.all(places.map((i) => this.#read(this.#cache.nameOf(text, i))))
      const missing = read.indexOf(undefined)
      const whole = (missing < 0 ? read : read.slice(0, missing)) as Uint8Array[]
      if (!this.#adopt(text, first, whole) || missing >= 0) return
    }
  }

  async #read(name: BlockName): Promise<Uint8Array | undefined> {
    for (const store of this.#stores) {
      const bytes = store.has(name.key) ? await store.read(name, this.#memory.bytesPerBlock) : undefined
      if (bytes) return bytes
    }
    return undefined
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
      this.#disk?.write(name, await this.#memory.read(block))
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
      await this.#disk?.settled()
    }
    await Promise.all(this.#stores.map((store) => store.settled()))
  }

  /** Waits until nothing is read or copied any more; no step may begin meanwhile. */
  async settled(): Promise<void> {
    await Promise.all([...this.#fetches.values(), ...this.#parking])
    await this.flush()
  }

  /** Gives host memory back. What is on disk stays, and what is being copied just now may still come. */
  clear(): void {
    this.#host?.clear()
    this.#fetched = new WeakSet()
  }

  /** From now on blocks are another model's: those of the old one are never read again. Nothing may be under way. */
  useDisk(disk: KvDiskCache | undefined): void {
    this.#queue.clear()
    this.#disk = disk
    this.clear()
  }
}
