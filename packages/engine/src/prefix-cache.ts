import { createHash } from 'node:crypto'
import { SlipwayError } from '@slipway/tensor'
import type { BlockName } from './kv-tier.ts'

/** Names the tokens of a block together with all tokens before it: `parent` is the key of the block before. */
export type BlockHash = (parent: string, ids: readonly number[]) => string

/** SHA-256, so that nobody can make two texts meet by intent; equal in every process. */
export const sha256Key: BlockHash = (parent, ids) =>
  createHash('sha256').update(`${parent.length} ${parent}`).update(Int32Array.from(ids)).digest('base64url')

/** Stands for what is before the first block; no hash looks like it, and no salt like an adapter. */
function rootKey({ cacheSalt, adapterKey }: CacheText): string {
  return adapterKey === undefined ? `salt:${cacheSalt}` : `adapter:${adapterKey} salt:${cacheSalt}`
}

interface CachedBlock {
  readonly block: number
  readonly key: string
  /** The block before, or the root before the first. */
  readonly parent: CachedBlock | string
  readonly ids: readonly number[]
  numChildren: number
}

/** A beginning of a text: its tokens, the salt and adapter that keep it apart from others, and keys of its blocks found so far. */
export interface CacheText {
  readonly tokens: readonly number[]
  readonly cacheSalt: string
  /** The adapter that computes its keys and values, by content. */
  readonly adapterKey?: string | undefined
  readonly blockKeys: string[]
}

/**
 * Which blocks hold the keys and values of which tokens. A block is found by a hash chained over everything before it
 * and believed only if its tokens and its parent are the wanted ones, so a collision costs a hit and nothing else.
 * Idle blocks, those without an owner, queue for eviction. Whoever owns a block owns those before it, and gives up the
 * last one first: so children stand before their parents in the queue, and its front is the oldest leaf.
 */
export class PrefixCache {
  readonly #blockSize: number
  readonly #hash: BlockHash
  readonly #byKey = new Map<string, CachedBlock>()
  readonly #byBlock = new Map<number, CachedBlock>()
  readonly #idle = new Set<CachedBlock>()
  /** Told of every block that is kept from now on: the text's `i`-th. */
  onAdd: ((text: CacheText, i: number, block: number) => void) | undefined
  /** Told of every block that is given to another owner; what it holds is still there. */
  onEvict: ((name: BlockName, block: number) => void) | undefined

  constructor(blockSize: number, hash: BlockHash = sha256Key) {
    this.#blockSize = blockSize
    this.#hash = hash
  }

  get numIdle(): number {
    return this.#idle.size
  }

  has(block: number): boolean {
    return this.#byBlock.has(block)
  }

  /** Keys of the first `count` blocks; kept with the text, since a text only grows. */
  keysOf(text: CacheText, count: number): readonly string[] {
    const { blockKeys } = text
    while (blockKeys.length < count) {
      const i = blockKeys.length
      blockKeys.push(this.#hash(blockKeys.at(-1) ?? rootKey(text), this.#idsOf(text, i)))
    }
    return blockKeys
  }

  /** How the `i`-th block of a text is named wherever it is kept. */
  nameOf(text: CacheText, i: number): BlockName {
    const keys = this.keysOf(text, i + 1)
    return { key: keys[i]!, parent: keys[i - 1] ?? rootKey(text), ids: this.#idsOf(text, i) }
  }

  /** The block that is kept under a key. */
  blockOf(key: string): number | undefined {
    return this.#byKey.get(key)?.block
  }

  #idsOf({ tokens }: CacheText, i: number): readonly number[] {
    return tokens.slice(i * this.#blockSize, (i + 1) * this.#blockSize)
  }

  /** The longest run of blocks that hold the beginning of a text, `limit` at most. */
  find(text: CacheText, limit: number): number[] {
    const found: number[] = []
    let parent: CachedBlock | string = rootKey(text)
    for (let i = 0; i < limit; i++) {
      const cached = this.#byKey.get(this.keysOf(text, i + 1)[i]!)
      if (!cached || !this.#holds(cached, text, i, parent)) break
      found.push(cached.block)
      parent = cached
    }
    return found
  }

  #holds(cached: CachedBlock, { tokens }: CacheText, i: number, parent: CachedBlock | string): boolean {
    const start = i * this.#blockSize
    return cached.parent === parent && cached.ids.every((id, j) => id === tokens[start + j])
  }

  /**
   * Keeps a computed block, the text's `i`-th; `previous` is the block before it, undefined for the first. Returns the
   * block that holds these tokens from now on, which may be an older one; undefined if they cannot be kept.
   */
  add(text: CacheText, i: number, block: number, previous: number | undefined): number | undefined {
    const parent = previous === undefined ? rootKey(text) : this.#byBlock.get(previous)
    // a parent that is not cached: it met a collision, or the cache was emptied
    if (parent === undefined) return undefined
    const key = this.keysOf(text, i + 1)[i]!
    const older = this.#byKey.get(key)
    if (older) return this.#holds(older, text, i, parent) ? older.block : undefined
    const cached = { block, key, parent, ids: this.#idsOf(text, i), numChildren: 0 }
    this.#byKey.set(key, cached)
    this.#byBlock.set(block, cached)
    if (typeof parent !== 'string') parent.numChildren++
    this.onAdd?.(text, i, block)
    return block
  }

  /** The block has no owner any more. */
  rest(block: number): void {
    this.#idle.add(this.#byBlock.get(block)!)
  }

  /** The block has an owner again. */
  wake(block: number): void {
    this.#idle.delete(this.#byBlock.get(block)!)
  }

  /** Forgets the oldest idle leaf and gives its block; undefined when none is idle. */
  evict(): number | undefined {
    const [oldest] = this.#idle
    if (!oldest) return undefined
    this.#idle.delete(oldest)
    this.#byKey.delete(oldest.key)
    this.#byBlock.delete(oldest.block)
    const { key, parent, ids, block } = oldest
    if (typeof parent !== 'string') parent.numChildren--
    this.onEvict?.({ key, parent: typeof parent === 'string' ? parent : parent.key, ids }, block)
    return block
  }

  /** Forgets everything and gives the blocks that were idle; those with owners are theirs alone from now on. */
  clear(): number[] {
    const blocks = [...this.#idle].map(({ block }) => block)
    this.#idle.clear()
    this.#byKey.clear()
    this.#byBlock.clear()
    return blocks
  }

  /** Throws if a kept block's parent is gone, children are miscounted, or an idle child stands behind its parent. */
  check(): void {
    const children = new Map<CachedBlock, number>()
    for (const { parent, block } of this.#byBlock.values()) {
      if (typeof parent === 'string') continue
      children.set(parent, (children.get(parent) ?? 0) + 1)
      if (this.#byBlock.get(parent.block) !== parent) throw broken(block, 'is kept, but the block before it is not')
    }
    for (const cached of this.#byBlock.values())
      if (cached.numChildren !== (children.get(cached) ?? 0)) throw broken(cached.block, 'miscounts its children')
    const left = new Map(children)
    for (const cached of this.#idle) {
      if ((left.get(cached) ?? 0) > 0) throw broken(cached.block, 'would be evicted before its children')
      if (typeof cached.parent !== 'string') left.set(cached.parent, left.get(cached.parent)! - 1)
    }
  }
}

function broken(block: number, fault: string): SlipwayError {
  return new SlipwayError('internal', `cached block ${block} ${fault}`)
}
