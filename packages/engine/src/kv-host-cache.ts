/// <reference lib="es2024.arraybuffer" />
import type { BlockName, KvStore } from './kv-tier.ts'

/** Slots share buffers up to this size. */
const slabBytes = 2 ** 30

interface Entry {
  readonly parent: string
  readonly ids: readonly number[]
  readonly slot: number
}

/**
 * Keys and values of blocks in host memory, as copies in the device's own layout. Verified like files: what is found is
 * believed only if it was kept for these tokens after this beginning. The least recently used make room for others.
 */
export class KvHostCache implements KvStore {
  readonly #bytesPerBlock: number
  readonly #slotsPerSlab: number
  readonly #numSlots: number
  /** Buffers that grow with use, so that shrinking them gives their memory back at once and not when collected. */
  readonly #slabs: ArrayBuffer[] = []
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>()

  /** `budget` bytes hold as many blocks as fit. */
  constructor(budget: number, bytesPerBlock: number) {
    this.#bytesPerBlock = bytesPerBlock
    this.#numSlots = Math.floor(budget / bytesPerBlock)
    this.#slotsPerSlab = Math.max(1, Math.floor(slabBytes / bytesPerBlock))
  }

  get numBlocks(): number {
    return this.#entries.size
  }

  has(key: string): boolean {
    return this.#entries.has(key)
  }

  #bytesOf(slot: number): Uint8Array {
    const i = Math.floor(slot / this.#slotsPerSlab)
    const maxByteLength = this.#slotsPerSlab * this.#bytesPerBlock
    const slab = (this.#slabs[i] ??= new ArrayBuffer(0, { maxByteLength }))
    const start = (slot % this.#slotsPerSlab) * this.#bytesPerBlock
    if (slab.byteLength < start + this.#bytesPerBlock) slab.resize(start + this.#bytesPerBlock)
    return new Uint8Array(slab, start, this.#bytesPerBlock)
  }

  /** A copy, since the slot may be another block's before it is used. */
  read({ key, parent, ids }: BlockName): Promise<Uint8Array | undefined> {
    const entry = this.#entries.get(key)
    if (entry?.parent !== parent || entry.ids.length !== ids.length || entry.ids.some((id, i) => id !== ids[i]))
      return Promise.resolve(undefined)
    this.touch(key)
    return Promise.resolve(this.#bytesOf(entry.slot).slice())
  }

  /** A block is as good as used. */
  touch(key: string): void {
    const entry = this.#entries.get(key)!
    this.#entries.delete(key)
    this.#entries.set(key, entry)
  }

  write({ key, parent, ids }: BlockName, bytes: Uint8Array): void {
    if (this.has(key)) return
    let slot = this.#entries.size
    if (slot >= this.#numSlots) {
      const [oldest, entry] = this.#entries.entries().next().value!
      this.#entries.delete(oldest)
      slot = entry.slot
    }
    this.#bytesOf(slot).set(bytes)
    this.#entries.set(key, { parent, ids, slot })
  }

  /** Nothing is ever under way. */
  settled(): Promise<void> {
    return Promise.resolve()
  }

  /** Forgets everything and gives the memory back. */
  clear(): void {
    this.#entries.clear()
    for (const slab of this.#slabs) slab.resize(0)
  }
}
