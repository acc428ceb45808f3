import type { Rules } from './ast.ts'
import { Automaton, type Mask, type Place } from './automaton.ts'
import { Loops, type Turns } from './loops.ts'
import type { NextTokens } from './protocol.ts'
import type { Loop } from './stacks.ts'
import { allow, childOf, largeTrie, type TokenBytes } from './token-trie.ts'

/** Stacks that are looked at for a token, and for a mask: beyond that the thread of xgrammar knows better. */
const limits = { follow: 2048, walk: 2 ** 11 }
/** Where more bytes may come than this, trees of more nodes are walked along loops alone: the thread has most of such a mask prepared. */
const large = { bytes: 32, steps: 2 ** 13 }
/** Bytes behind a loop, beyond which it is walked along like all else. */
const maxBytesBehind = 32
/** Of masks that are kept for a grammar. */
const maxMaskBytes = 8 * 2 ** 20

/** A mask that is being made. */
interface Walk {
  readonly id: number
  readonly mask: Uint32Array
  readonly maxSteps: number
  numVisits: number
  numSteps: number
}

/**
 * Tells where in its grammar a text is, and so which tokens may come. Counts of a repetition that are too far from its
 * bounds for a token to reach them share their masks. Does a bounded amount of work for a token, whatever the grammar.
 */
export class Places {
  readonly #automaton: Automaton
  readonly #tokens: TokenBytes
  readonly #loops: Loops
  /** Tokens that may come where a text may end. */
  readonly #stopIds: readonly number[]
  #masks = new Map<string | number, Mask>()
  /** Those that are known, the oldest first. */
  readonly #known = new Set<Mask>()
  #maskBytes = 0
  #numWalks = 0

  constructor(
    rules: Rules,
    tokens: TokenBytes,
    {
      stopIds = [],
      loops = new Loops(tokens.trie),
    }: { readonly stopIds?: readonly number[]; readonly loops?: Loops } = {},
  ) {
    this.#automaton = new Automaton(rules, tokens.longest)
    this.#tokens = tokens
    this.#stopIds = stopIds
    this.#loops = loops
  }

  /** Where every text begins; undefined where that is too much to follow. */
  start(): Place | undefined {
    this.#clearIfFull()
    const place = this.#automaton.start()
    return place.isLost ? undefined : place
  }

  /** The place behind a token; undefined where it may not come, is no text, or leads to too many places. */
  follow(from: Place, token: number): Place | undefined {
    const { starts, bytes } = this.#tokens
    const [start, end] = [starts[token], starts[token + 1]]
    if (start === undefined || end === undefined || start === end) return undefined
    this.#clearIfFull()
    let place = from
    // known places count like new ones: what becomes of a text must not depend on the texts before it
    let visits = 0
    for (let i = start; i < end; i++) {
      const next = this.#automaton.step(place, bytes[i]!)
      if (!next || next.isLost) return undefined
      visits += next.numVisits
      if (visits > limits.follow) return undefined
      place = next
    }
    return place
  }

  /** What is known of the mask of a place: the same for all that no token can tell apart. */
  maskOf(place: Place): Mask {
    if (place.mask) return place.mask
    const key = this.#keyOf(place)
    let mask = this.#masks.get(key)
    if (!mask) this.#masks.set(key, (mask = { next: undefined }))
    return (place.mask = mask)
  }

  /**
   * What may come next at a place, as far as that is known or little work to find out. Whether it is does not depend on
   * what is known: xgrammar leaves out a token that fits now and then, and an answer must not depend on who was asked.
   */
  next(place: Place): NextTokens | undefined {
    const { next } = this.maskOf(place)
    if (next) return next
    this.#clearIfFull()
    const found = this.#find(place)
    if (found) this.learn(place, found)
    return found
  }

  /** Keeps what may come next at a place. */
  learn(place: Place, next: NextTokens): void {
    const mask = this.maskOf(place)
    if (mask.next) return
    mask.next = next
    this.#known.add(mask)
    this.#maskBytes += bytesOf(next)
    for (const oldest of this.#known) {
      if (this.#maskBytes <= maxMaskBytes) return
      this.#drop(oldest)
    }
  }

  #find(from: Place): NextTokens | undefined {
    const { trie, size } = this.#tokens
    const mask = new Uint32Array(Math.ceil(size / 32))
    const isLarge = trie.bytes.length > largeTrie
    const maxSteps = isLarge ? large.steps : Infinity
    const walk: Walk = { id: ++this.#numWalks, mask, maxSteps, numVisits: 0, numSteps: 0 }
    if (!from.loop || !this.#turn(walk, from.loop, 0)) {
      if (isLarge && from.numBytes > large.bytes) return undefined
      this.#walk(walk, from, 0)
    }
    if (isTooLong(walk)) return undefined
    if (mask.every((word) => word === 0)) return { state: 'complete' }
    if (from.mayEnd) for (const id of this.#stopIds) allow(mask, id)
    return { state: 'masked', mask, only: onlyOf(mask) }
  }

  /** Adds the tokens behind a node as far as the grammar goes along from a place. */
  #walk(walk: Walk, from: Place, parent: number): void {
    const { trie } = this.#tokens
    const { bytes, children } = trie
    const [first, end] = [children[parent]!, children[parent + 1]!]
    if (end - first > 4 * from.numBytes) {
      for (const byte of from.bytes) {
        const node = childOf(trie, parent, byte)
        if (node !== undefined) this.#arrive(walk, from, byte, node)
      }
    } else
      for (let node = first; node < end; node++) {
        const byte = bytes[node]!
        if (this.#automaton.reads(from, byte)) this.#arrive(walk, from, byte, node)
      }
  }

  /** Adds the tokens of a node whose byte is read, and those behind it. */
  #arrive(walk: Walk, from: Place, byte: number, node: number): void {
    const { children, firsts, ends, tokens } = this.#tokens.trie
    for (let i = firsts[node]!; i < ends[node]!; i++) allow(walk.mask, tokens[i]!)
    walk.numSteps++
    if (children[node] === children[node + 1] || isTooLong(walk)) return
    const place = this.#automaton.step(from, byte)!
    if (place.walk !== walk.id) {
      place.walk = walk.id
      walk.numVisits += place.isLost ? Infinity : place.numVisits
    }
    if (!place.loop || !this.#turn(walk, place.loop, node)) this.#walk(walk, place, node)
  }

  /** Adds those behind a node from a place in a loop; false where the loop is of no use. */
  #turn(walk: Walk, loop: Loop, node: number): boolean {
    const turns = this.#turnsOf(loop, node)
    if (!turns) return false
    const behind = this.#automaton.behind(loop)
    turns.allow(walk.mask, loop.max)
    // those of the whole tree are kept as masks; what is known counts like what is not
    if (node > 0) walk.numSteps += turns.numTokens
    for (const byte of behind.bytes) {
      const { nodes, turns: over } = turns.exits(byte)
      for (let i = 0; i < nodes.length; i++)
        if (over[i]! >= loop.min && over[i]! <= loop.max) this.#arrive(walk, behind, byte, nodes[i]!)
    }
    return true
  }

  #turnsOf(loop: Loop, node: number): Turns | undefined {
    const behind = this.#automaton.behind(loop)
    if (behind.isLost || behind.bytes.length > maxBytesBehind) return undefined
    return this.#loops.turns(loop, node, this.#automaton)
  }

  /** Equal for places that no token can tell apart: none takes more turns of a loop than its longest run of them. */
  #keyOf(place: Place): string | number {
    const { loop } = place
    const turns = loop && this.#turnsOf(loop, 0)
    if (!turns) return place.key
    const { most } = turns
    const { key } = this.#automaton.behind(loop)
    // colons, since keys of several stacks have commas
    return [loop.of.id, Math.min(loop.min, most + 1), Math.min(loop.max, most), key].join(':')
  }

  #drop(mask: Mask): void {
    this.#known.delete(mask)
    this.#maskBytes -= bytesOf(mask.next!)
    mask.next = undefined
  }

  /** Begins anew; texts go on from their places, but learn nothing from new ones. */
  #clearIfFull(): void {
    if (!this.#automaton.isFull) return
    this.#automaton.clear()
    this.#masks = new Map()
    for (const mask of this.#known) this.#drop(mask)
  }
}

function isTooLong({ numVisits, numSteps, maxSteps }: Walk): boolean {
  return numVisits > limits.walk || numSteps > maxSteps
}

/** The token that a mask leaves, if it is one. */
function onlyOf(mask: Uint32Array): number | undefined {
  let only: number | undefined
  for (let i = 0; i < mask.length; i++) {
    const word = mask[i]!
    if (word === 0) continue
    if (only !== undefined || (word & (word - 1)) !== 0) return undefined
    only = 32 * i + 31 - Math.clz32(word)
  }
  return only
}

function bytesOf(next: NextTokens): number {
  return next.state === 'masked' ? next.mask.byteLength : 0
}
