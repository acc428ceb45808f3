import { describe, expect, test } from 'vitest'
import { BlockPool, type BlockOwner } from './block-pool.ts'
import { PrefixCache, sha256Key, type BlockHash } from './prefix-cache.ts'
import { randomIntegers, repetitions } from './testing/random.ts'

const numSteps = repetitions('SLIPWAY_MODEL_STEPS', 5000)

interface Owner extends BlockOwner {
  readonly tokens: number[]
  readonly blockKeys: string[]
}

const ownerOf = (tokens: readonly number[], cacheSalt = ''): Owner => ({
  tokens: [...tokens],
  cacheSalt,
  blockKeys: [],
  blocks: [],
  numComputed: 0,
  numCommitted: 0,
})

/** Takes what is cached, computes the rest, as scheduler and engine do; false if there is no room. */
function begin(pool: BlockPool, owner: Owner): boolean {
  pool.share(owner, pool.match(owner))
  const count = pool.blocksFor(owner.tokens.length)
  if (count - owner.blocks.length > pool.numAvailable) {
    pool.release(owner)
    return false
  }
  pool.grow(owner, count)
  owner.numComputed = owner.tokens.length
  pool.commit(owner)
  return true
}

/** A block of memory in the model. */
interface Slot {
  path: string | undefined
  owners: number
  /** When it lost its last owner. */
  stamp: number
}

/** What the pool should do, by search over all blocks instead of indices, queues and counts. */
class PlainPool {
  readonly slots = new Set<Slot>()
  readonly owned = new Map<Owner, Slot[]>()
  readonly #total: number
  readonly #size: number
  readonly #hash: BlockHash
  #time = 0

  constructor(total: number, size: number, hash: BlockHash) {
    this.#total = total
    this.#size = size
    this.#hash = hash
  }

  get numFree(): number {
    return this.#total - this.slots.size
  }

  get idle(): Slot[] {
    return [...this.slots].filter(({ owners }) => owners === 0)
  }

  pathOf({ cacheSalt, tokens }: Owner, i: number): string {
    return `${cacheSalt}:${tokens.slice(0, (i + 1) * this.#size).join()},`
  }

  #keyOf(path: string): string {
    const [salt, ids] = path.split(':') as [string, string]
    const tokens = ids.split(',').slice(0, -1).map(Number)
    let key = `salt:${salt}`
    for (let i = 0; i < tokens.length; i += this.#size) key = this.#hash(key, tokens.slice(i, i + this.#size))
    return key
  }

  #kept(path: string): Slot | undefined {
    return [...this.slots].find((slot) => slot.path === path)
  }

  match(owner: Owner): Slot[] {
    const found: Slot[] = []
    for (let i = 0; (i + 1) * this.#size < owner.tokens.length; i++) {
      const slot = this.#kept(this.pathOf(owner, i))
      if (!slot) break
      found.push(slot)
    }
    return found
  }

  begin(owner: Owner): boolean {
    const slots = this.match(owner)
    const missing = Math.ceil(owner.tokens.length / this.#size) - slots.length
    if (missing > this.numFree + this.idle.filter((slot) => !slots.includes(slot)).length) {
      // looked at, and so as good as used
      for (const slot of [...slots].reverse()) if (slot.owners === 0) slot.stamp = this.#time++
      return false
    }
    for (const slot of slots) slot.owners++
    this.owned.set(owner, slots)
    this.extend(owner, slots.length)
    return true
  }

  /** Gives the owner blocks for its tokens, computed, and keeps those from `first` on that are full. */
  extend(owner: Owner, first = Math.floor((owner.tokens.length - 1) / this.#size)): void {
    const slots = this.owned.get(owner)!
    while (slots.length < Math.ceil(owner.tokens.length / this.#size)) slots.push(this.#take())
    for (let i = first; (i + 1) * this.#size <= owner.tokens.length; i++) {
      const path = this.pathOf(owner, i)
      if (i > 0 && slots[i - 1]!.path === undefined) continue
      const same = this.#kept(path)
      if (same) {
        this.slots.delete(slots[i]!)
        same.owners++
        slots[i] = same
      } else if (
        ![...this.slots].some((slot) => slot.path !== undefined && this.#keyOf(slot.path) === this.#keyOf(path))
      )
        slots[i]!.path = path
    }
  }

  #take(): Slot {
    if (this.numFree === 0) {
      const leaves = this.idle.filter(
        (slot) => ![...this.slots].some(({ path }) => path !== slot.path && path?.startsWith(slot.path!)),
      )
      this.slots.delete(leaves.reduce((a, b) => (a.stamp < b.stamp ? a : b)))
    }
    const slot = { path: undefined, owners: 1, stamp: 0 }
    this.slots.add(slot)
    return slot
  }

  release(owner: Owner): void {
    for (const slot of this.owned.get(owner)!.reverse()) {
      if (--slot.owners > 0) continue
      if (slot.path === undefined) this.slots.delete(slot)
      else slot.stamp = this.#time++
    }
    this.owned.delete(owner)
  }

  reset(): void {
    for (const slot of this.idle) this.slots.delete(slot)
    for (const slot of this.slots) slot.path = undefined
  }
}

const hashes: [string, BlockHash][] = [
  ['a good hash', sha256Key],
  ['a hash of 16 values', (parent, ids) => `#${sha256Key(parent, ids).charCodeAt(0) % 16}`],
]

test.each(hashes)(`${numSteps} random operations agree with a plain model, with %s`, (_, hash) => {
  const random = randomIntegers(4)
  const met = { hits: 0, full: 0, evictions: 0 }
  for (let round = 0; round * 500 < numSteps; round++) {
    const size = 1 + random(5)
    const total = 8 + random(30)
    const pool = new BlockPool(total, size, new PrefixCache(size, hash))
    const model = new PlainPool(total, size, hash)
    const texts: Owner[] = [ownerOf([1])]
    for (let step = 0; step < 500; step++) {
      const running = [...model.owned.keys()]
      const some = running[random(running.length || 1)]
      const operation = random(20)
      if (operation < 8) {
        const { tokens } = texts[random(texts.length)]!
        const text = [
          ...tokens.slice(0, random(tokens.length) + 1),
          ...Array.from({ length: random(12) }, () => random(2)),
        ]
        const owner = ownerOf(text.slice(0, 7 * size), random(6) === 0 ? 's' : '')
        const { idle, numFree } = model
        const expected = model.begin(owner)
        expect(begin(pool, owner)).toBe(expected)
        if (!expected) met.full++
        else if (numFree < owner.blocks.length && idle.length > model.idle.length) met.evictions++
        if (texts.push(owner) > 12) texts.shift()
        met.hits += model.match(owner).length
      } else if (operation < 14 && some) {
        if (some.tokens.length % size === 0 && pool.numAvailable === 0) continue
        some.tokens.push(random(2))
        pool.grow(some, pool.blocksFor(some.tokens.length))
        some.numComputed++
        pool.commit(some)
        model.extend(some)
      } else if (operation < 19 && some) {
        pool.release(some)
        model.release(some)
      } else if (random(10) === 0) {
        pool.reset()
        model.reset()
      }
      pool.check(model.owned.keys())
      const state = [pool.numFree, pool.numCached, pool.match(texts.at(-1)!).length]
      expect(state).toEqual([model.numFree, model.idle.length, model.match(texts.at(-1)!).length])
      // the same blocks are shared by the same owners
      const slotOf = new Map<number, Slot>()
      for (const [owner, slots] of model.owned)
        for (const [i, block] of owner.blocks.entries()) {
          if (slotOf.has(block) && slotOf.get(block) !== slots[i]) throw new Error(`block ${block} is shared wrongly`)
          slotOf.set(block, slots[i]!)
        }
      if (new Set(slotOf.values()).size !== slotOf.size) throw new Error('a block that should be shared is not')
    }
  }
  for (const [what, times] of Object.entries(met)) expect(times, what).toBeGreaterThan(20)
})

describe('single cases', () => {
  const text = (length: number): number[] => Array.from({ length }, (_, i) => i % 7)

  test('the last token is never cached, and a salt keeps texts apart', () => {
    const pool = new BlockPool(20, 4, new PrefixCache(4))
    const first = ownerOf(text(8))
    begin(pool, first)
    expect(pool.match(ownerOf(text(8)))).toEqual(first.blocks.slice(0, 1))
    expect(pool.match(ownerOf(text(9)))).toEqual(first.blocks)
    expect(pool.match(ownerOf(text(9), 'other'))).toEqual([])
    expect(pool.match(ownerOf([9, ...text(8)]))).toEqual([])
  })

  test('two that compute the same at once end with one copy', () => {
    const pool = new BlockPool(20, 4, new PrefixCache(4))
    const owners = [ownerOf(text(9)), ownerOf(text(9))]
    for (const owner of owners) pool.grow(owner, 3)
    expect(pool.numOwned).toBe(6)
    for (const owner of owners) {
      owner.numComputed = 9
      pool.commit(owner)
    }
    expect(pool.numOwned).toBe(4)
    expect(owners[0]!.blocks.slice(0, 2)).toEqual(owners[1]!.blocks.slice(0, 2))
    pool.check(owners)
  })

  test('what was used last goes last, and ends before beginnings', () => {
    const pool = new BlockPool(6, 2, new PrefixCache(2))
    const [a, b] = [ownerOf([1, 1, 2, 2, 3]), ownerOf([4, 4, 5, 5, 6])]
    for (const owner of [a, b]) begin(pool, owner)
    for (const owner of [b, a]) pool.release(owner)
    expect([pool.numFree, pool.numCached]).toEqual([2, 4])
    const big = ownerOf(Array.from({ length: 6 }, () => 9))
    begin(pool, big)
    // of b only the first block is left
    expect(pool.match(b)).toHaveLength(1)
    expect(pool.match(a)).toHaveLength(2)
  })

  test('faults in the books are found', () => {
    const pool = new BlockPool(4, 2, new PrefixCache(2))
    const owner = ownerOf([1, 2, 3])
    begin(pool, owner)
    expect(() => pool.check([])).toThrow('owners too many')
    pool.check([owner])
    expect(() => pool.grow(ownerOf([]), 5)).toThrow('no block left of 4')
  })
})
