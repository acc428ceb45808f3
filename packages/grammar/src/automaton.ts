import type { Rules } from './ast.ts'
import type { Part } from './parts.ts'
import type { NextTokens } from './protocol.ts'
import { keyOf, Stacks, type Expansion, type Loop, type Stack } from './stacks.ts'

/** What is known of the masks of places that no token can tell apart. */
export interface Mask {
  next: NextTokens | undefined
}

/** A place in a text: all that may follow depends on it alone. */
export class Place {
  /** Where a text has come to: several stacks where as many have read the same. */
  readonly #origins: readonly Stack[]
  readonly #all: Stacks
  #expansion: Expansion | undefined = undefined
  #bytes: number[] | undefined = undefined
  /** Most places are passed in the midst of a token and have none. */
  mask: Mask | undefined = undefined
  /** The last walk that came here. */
  walk = 0
  /** Where several stacks read a byte: the places behind, by a bit for each of these. */
  behind: Map<number, Place> | undefined = undefined
  /** Where each byte leads, as far as it is known; null where it may not come. */
  row: (Place | null)[] | undefined = undefined
  /** Steps without a row. */
  numSteps = 0

  constructor(origins: readonly Stack[], all: Stacks) {
    this.#origins = origins
    this.#all = all
  }

  /** Found when it is asked for: nobody goes on from most places. */
  get #expanded(): Expansion {
    return (this.#expansion ??= this.#all.expand(this.#origins, limits.visits))
  }

  /** Each awaits a byte, or the end. */
  get stacks(): readonly Stack[] {
    return this.#expanded.ready
  }

  /** Stacks that were looked at to find these. */
  get numVisits(): number {
    return this.#expanded.numVisits
  }

  /** Whether there were too many of them. */
  get isLost(): boolean {
    return this.numVisits > limits.visits
  }

  /** Where it stands between two turns of a repetition. */
  get loop(): Loop | undefined {
    return this.#expanded.loop
  }

  /** Whether a text may end here. */
  get mayEnd(): boolean {
    return this.stacks.some(({ part }) => !part)
  }

  /** The bytes that may come next. */
  get bytes(): readonly number[] {
    if (!this.#bytes) {
      const set = new Int32Array(8)
      for (const { part } of this.stacks) if (part) for (let i = 0; i < 8; i++) set[i]! |= part.bytes[i]!
      this.#bytes = []
      for (let i = 0; i < 8; i++)
        for (let left = set[i]!; left !== 0; left &= left - 1) this.#bytes.push(i * 32 + 31 - Math.clz32(left & -left))
    }
    return this.#bytes
  }

  /** How many bytes may come next, or somewhat more. */
  get numBytes(): number {
    let count = 0
    for (const { part } of this.stacks) count += part ? part.size : 0
    return count
  }

  /** Equal for places that no token can tell apart. */
  get key(): string | number {
    const alone = this.loop?.stack ?? (this.#origins.length === 1 ? this.#origins[0] : undefined)
    return alone ? this.#all.twin(alone).id : keyOf(this.stacks.map((stack) => this.#all.twin(stack)))
  }
}

/** A grammar gives up where it is in too many places at once. */
const limits = { visits: 512, places: 2 ** 13, stacks: 2 ** 17 }
/** From a place, before it gets a row. */
const fewSteps = 32

/**
 * A grammar as a deterministic automaton over bytes, of which no more is made than texts have gone along. Its places are
 * sets of stacks that a text may be at (as GLR parsers keep them).
 */
export class Automaton {
  readonly #stacks: Stacks
  /** Places of several stacks, by their key. */
  #several = new Map<string, Place>()
  #numPlaces = 0

  /** `longest`: bytes of the longest token. */
  constructor(rules: Rules, longest: number) {
    this.#stacks = new Stacks(rules, longest)
  }

  get isFull(): boolean {
    return this.#numPlaces > limits.places || this.#stacks.size > limits.stacks
  }

  /** Begins anew; places that are in use may be gone on from. */
  clear(): void {
    this.#stacks.clear()
    this.#several = new Map()
    this.#numPlaces = 0
  }

  /** Before every text. */
  start(): Place {
    return this.#placeOf(this.#stacks.start())
  }

  /** Before a text that is no more than this part. */
  alone(part: Part): Place {
    return this.#placeOf(this.#stacks.alone(part))
  }

  /** Behind the last turn. */
  behind({ behind }: Loop): Place {
    return this.#placeOf(behind)
  }

  /** Whether a byte may come. */
  reads({ row, stacks }: Place, byte: number): boolean {
    const known = row?.[byte]
    if (known !== undefined) return known !== null
    const word = byte >> 5
    const bit = 1 << (byte & 31)
    for (let i = 0; i < stacks.length; i++) {
      const { part } = stacks[i]!
      if (part && (part.bytes[word]! & bit) !== 0) return true
    }
    return false
  }

  /** Where a byte leads; undefined where it may not come. */
  step(from: Place, byte: number): Place | undefined {
    const known = from.row?.[byte]
    if (known !== undefined) return known ?? undefined
    const { stacks } = from
    const word = byte >> 5
    const bit = 1 << (byte & 31)
    let first: Stack | undefined
    let isSeveral = false
    let readers = 0
    for (let i = 0; i < stacks.length; i++) {
      const { part, behind } = stacks[i]!
      if (!part || (part.bytes[word]! & bit) === 0) continue
      readers |= 1 << i
      if (!first) first = behind
      else if (first !== behind) isSeveral = true
    }
    const to = isSeveral ? this.#behindSeveral(from, byte, readers) : first && this.#placeOf(first)
    if (from.row) from.row[byte] = to ?? null
    else if (++from.numSteps > fewSteps) from.row = []
    return to
  }

  /** `readers`: a bit for each of the stacks, where these are no more than a number has. */
  #behindSeveral(from: Place, byte: number, readers: number): Place {
    const isNamed = from.stacks.length <= 32
    let to = isNamed ? from.behind?.get(readers) : undefined
    if (to) return to
    const behind: Stack[] = []
    for (const { part, behind: rest } of from.stacks)
      if (part && (part.bytes[byte >> 5]! >>> (byte & 31)) & 1) behind.push(rest!)
    const key = keyOf(behind)
    to = this.#several.get(key)
    if (!to) this.#several.set(key, (to = this.#make(behind)))
    if (isNamed) (from.behind ??= new Map<number, Place>()).set(readers, to)
    return to
  }

  #placeOf(stack: Stack): Place {
    return (stack.place ??= this.#make([stack]))
  }

  #make(origins: readonly Stack[]): Place {
    this.#numPlaces++
    return new Place(origins, this.#stacks)
  }
}
