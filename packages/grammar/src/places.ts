import type { Rules } from './ast.ts'
import { Parts, type Part } from './parts.ts'
import type { NextTokens } from './protocol.ts'
import type { TokenBytes } from './token-trie.ts'
import { allow } from './vocabulary.ts'

/** Something still to be read, and what comes behind it: one stack of a pushdown automaton. Equal ones are one object. */
class Frame {
  readonly id: number
  /** Undefined at the end of the text. */
  readonly part: Part | undefined
  /** Parts of a sequence that have been read, or turns of a repetition. */
  readonly count: number
  readonly behind: Frame | undefined
  /** Frames that have this one behind them, by part and count. */
  above: Map<number, Frame> | undefined
  /** Where a text is that has come to this one alone. */
  place: Place | undefined
  /** The one that stands for all from which a token cannot tell it. */
  twin: Frame | undefined

  constructor(id: number, part?: Part, count = 0, behind?: Frame) {
    this.id = id
    this.part = part
    this.count = count
    this.behind = behind
  }
}

/** What is known of the masks of places that no token can tell apart. */
interface Mask {
  next: NextTokens | undefined
}

/** A place in a text: all that may follow depends on it alone. */
export class Place {
  /** Each awaits a byte, or the end. */
  readonly frames: readonly Frame[]
  /** Frames that were looked at to find these. */
  readonly numVisits: number
  readonly #findMask: (frames: readonly Frame[]) => Mask
  #mask: Mask | undefined
  /** Where several of the frames read a byte: the places behind, by the byte and by what the frames go on with. */
  behind: Map<number | string, Place> | undefined

  constructor(frames: readonly Frame[], numVisits: number, findMask: (frames: readonly Frame[]) => Mask) {
    this.frames = frames
    this.numVisits = numVisits
    this.#findMask = findMask
  }

  /** Most places are passed in the midst of a token and need none. */
  get mask(): Mask {
    return (this.#mask ??= this.#findMask(this.frames))
  }
}

/** A grammar gives up where it is in too many places at once: the thread of xgrammar knows better then. */
const limits = { visits: 512, tokenVisits: 2048, places: 4096, frames: 2 ** 17, count: 2 ** 20 }
/** Where more bytes or tokens may come than this, a mask is much work: the thread has most of it prepared. */
const narrow = { bytes: 32, steps: 512, frames: 2 ** 13 }
/** Of masks that are kept for a grammar. */
const maxMaskBytes = 8 * 2 ** 20

/**
 * Tells where in its grammar a text is, so that masks are asked for once for each place and not once for each token. A
 * place is a set of stacks that a text may be at (as GLR parsers keep them); what is met once is kept, so that a text
 * goes where another was in little time. Counts of a repetition that are too far from its bounds for a token to reach
 * them share their masks. Does a bounded amount of work for a token, whatever the grammar.
 */
export class Places {
  readonly #parts: Parts
  readonly #tokens: TokenBytes
  /** Tokens that may come where a text may end. */
  readonly #stopIds: readonly number[]
  #bottom!: Frame
  #masks = new Map<string, Mask>()
  /** Those that are known, the oldest first. */
  readonly #known = new Set<Mask>()
  #maskBytes = 0
  #numFrames = 0
  #numPlaces = 0
  /** Of frames, those before the last new beginning. */
  #numForgotten = 0
  readonly #findMask = (frames: readonly Frame[]): Mask => this.#maskOf(keyOf(frames.map((frame) => this.#twin(frame))))
  /** Stands where a text is at more places at once than are followed. */
  readonly #tooMany = new Place([], 0, this.#findMask)

  constructor(rules: Rules, tokens: TokenBytes, stopIds: readonly number[] = []) {
    this.#parts = new Parts(rules)
    this.#tokens = tokens
    this.#stopIds = stopIds
    this.#forget()
  }

  /** Where every text begins; undefined where that is too much to follow. */
  start(): Place | undefined {
    const place = this.#placeAt(this.#frame(this.#parts.rule('root'), 0, this.#bottom))
    return place === this.#tooMany ? undefined : place
  }

  /** The place behind a token; undefined where it may not come, is no text, or leads to too many places. */
  follow(from: Place, token: number): Place | undefined {
    const { starts, bytes } = this.#tokens
    const [start, end] = [starts[token], starts[token + 1]]
    if (start === undefined || end === undefined || start === end) return undefined
    let place: Place | undefined = from
    // known places count like new ones: what becomes of a text must not depend on the texts before it
    let visits = 0
    for (let i = start; i < end && place; i++) {
      place = this.#step(place, bytes[i]!)
      visits += place?.numVisits ?? 0
      if (place === this.#tooMany || visits > limits.tokenVisits) return undefined
    }
    return place
  }

  /**
   * What may come next at a place, as far as that is known or little work to find out. Whether it is does not depend on
   * what is known: xgrammar leaves out a token that fits now and then, and an answer must not depend on who was asked.
   */
  next(place: Place): NextTokens | undefined {
    const { next } = place.mask
    if (next) return next
    const found = this.#find(place)
    if (found) this.learn(place, found)
    return found
  }

  /** Walks through the tree of tokens, as far as the grammar goes along. */
  #find(from: Place): NextTokens | undefined {
    if (numBytesOf(from) > narrow.bytes) return undefined
    const { trie, size } = this.#tokens
    const mask = new Uint32Array(Math.ceil(size / 32))
    // places on the way to a node, and where the tree goes on behind each of them
    const path = [from]
    const ends = [trie.bytes.length]
    let isEmpty = true
    let numSteps = 0
    let numFrames = 0
    for (let node = 0; node < trie.bytes.length;) {
      for (; node >= ends.at(-1)!; ends.pop()) path.pop()
      const place = this.#step(path.at(-1)!, trie.bytes[node]!)
      if (place === undefined) {
        node = trie.ends[node]!
        continue
      }
      numFrames += place.frames.length
      if (place === this.#tooMany) return undefined
      if (++numSteps > narrow.steps || numFrames > narrow.frames) return undefined
      for (let i = trie.firsts[node]!; i < trie.firsts[node + 1]!; i++) {
        allow(mask, trie.tokens[i]!)
        isEmpty = false
      }
      path.push(place)
      ends.push(trie.ends[node]!)
      node++
    }
    if (isEmpty) return { state: 'complete' }
    if (from.frames.some(({ part }) => !part)) for (const id of this.#stopIds) allow(mask, id)
    return { state: 'masked', mask }
  }

  /** Keeps what may come next at a place. */
  learn({ mask }: Place, next: NextTokens): void {
    if (mask.next) return
    mask.next = next
    this.#known.add(mask)
    this.#maskBytes += bytesOf(next)
    for (const oldest of this.#known) if (this.#maskBytes > maxMaskBytes) this.#drop(oldest)
  }

  /** The place behind a byte; undefined where it may not come. */
  #step(place: Place, byte: number): Place | undefined {
    const known = place.behind?.get(byte)
    if (known) return known
    const word = byte >> 5
    const bit = byte & 31
    let first: Frame | undefined
    let several: Set<Frame> | undefined
    for (const { part, behind } of place.frames) {
      if (part?.type !== 'byte' || ((part.bytes[word]! >>> bit) & 1) === 0) continue
      if (!first) first = behind
      else if (behind !== first) (several ??= new Set([first])).add(behind!)
    }
    if (!first) return undefined
    if (!several) return this.#placeAt(first)
    const key = keyOf([...several])
    place.behind ??= new Map()
    const behind = place.behind.get(key) ?? this.#placeOf(several)
    place.behind.set(key, behind).set(byte, behind)
    return behind
  }

  /** The place of a text that has come to a frame. */
  #placeAt(frame: Frame): Place {
    return (frame.place ??= this.#placeOf([frame]))
  }

  /** The place of a text that may be at any of these. */
  #placeOf(frames: Iterable<Frame>): Place {
    const seen = new Set<Frame>()
    for (const frame of frames) this.#expand(frame, seen)
    if (seen.size > limits.visits) return this.#tooMany
    if (++this.#numPlaces > limits.places || this.#numFrames - this.#numForgotten > limits.frames) this.#forget()
    return new Place(
      [...seen].filter(({ part }) => !part || part.type === 'byte'),
      seen.size,
      this.#findMask,
    )
  }

  /** Adds a frame, and all that it may turn into before a byte is read. */
  #expand(frame: Frame, seen: Set<Frame>): void {
    if (seen.has(frame) || seen.size > limits.visits) return
    seen.add(frame)
    const { part, count, behind } = frame
    if (!part || part.type === 'byte') return
    if (part.type === 'ref') this.#expand(this.#frame(this.#parts.rule(part.rule), 0, behind!), seen)
    else if (part.type === 'alt') for (const option of part.options) this.#expand(this.#frame(option, 0, behind!), seen)
    else if (part.type === 'seq') {
      const rest = count + 1 < part.parts.length ? this.#frame(part, count + 1, behind!) : behind!
      this.#expand(part.parts.length > 0 ? this.#frame(part.parts[count]!, 0, rest) : rest, seen)
    } else {
      const { of, min, max } = part
      if (count >= min) this.#expand(behind!, seen)
      if (count >= max) return
      const turns = max === Infinity ? Math.min(count + 1, min) : count + 1
      this.#expand(this.#frame(of, 0, turns === max ? behind! : this.#frame(part, turns, behind!)), seen)
    }
  }

  #frame(part: Part, count: number, behind: Frame): Frame {
    const above = (behind.above ??= new Map<number, Frame>())
    const key = part.id * limits.count + count
    let frame = above.get(key)
    if (!frame) above.set(key, (frame = new Frame(this.#numFrames++, part, count, behind)))
    return frame
  }

  /** Without recursion: stacks may be as deep as texts are long. */
  #twin(frame: Frame): Frame {
    const open: Frame[] = []
    for (let at: Frame | undefined = frame; at && !at.twin; at = at.behind) open.push(at)
    for (const one of open.reverse()) {
      const { part, count, behind } = one
      const far = part ? this.#farCount(part, count) : count
      const isOwn = !part || (far === count && behind!.twin === behind)
      one.twin = isOwn ? one : this.#frame(part, far, behind!.twin!)
    }
    return frame.twin!
  }

  /** The least count that a token cannot tell from this one, since a turn takes a byte at least. */
  #farCount(part: Part, count: number): number {
    if (part.type !== 'repeat' || !part.reads) return count
    const { longest } = this.#tokens
    if (count + longest < part.min) return 0
    return count > part.min && count + longest < part.max ? part.min : count
  }

  #maskOf(key: string): Mask {
    let mask = this.#masks.get(key)
    if (!mask) this.#masks.set(key, (mask = { next: undefined }))
    return mask
  }

  #drop(mask: Mask): void {
    this.#known.delete(mask)
    this.#maskBytes -= bytesOf(mask.next!)
    mask.next = undefined
  }

  /** Begins anew; places that are in use go on, but learn nothing from new ones. */
  #forget(): void {
    this.#numForgotten = this.#numFrames
    this.#numPlaces = 0
    this.#bottom = new Frame(this.#numFrames++)
    this.#masks = new Map()
    for (const mask of this.#known) this.#drop(mask)
  }
}

function bytesOf(next: NextTokens): number {
  return next.state === 'masked' ? next.mask.byteLength : 0
}

function keyOf(frames: readonly Frame[]): string {
  return [...new Set(frames.map(({ id }) => id))].sort((a, b) => a - b).join()
}

/** How many bytes may come next, or somewhat more. */
function numBytesOf({ frames }: Place): number {
  let count = 0
  for (const { part } of frames) if (part?.type === 'byte') count += part.size
  return count
}
