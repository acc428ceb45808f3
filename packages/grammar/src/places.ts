import type { Rules } from './ast.ts'
import { Parts, type Part } from './parts.ts'
import type { NextTokens } from './protocol.ts'

/** Something still to be read, and what comes behind it: one stack of a pushdown automaton. Equal ones are one object. */
interface Frame {
  readonly id: number
  /** Undefined at the end of the text. */
  readonly part: Part | undefined
  /** Parts of a sequence that have been read, or turns of a repetition. */
  readonly count: number
  readonly behind: Frame | undefined
  /** The one that stands for all from which a token cannot tell it. */
  readonly twin: Frame
  /** Frames that have this one behind them, by part and count. */
  readonly above: Map<number, Frame>
}

/** What is known of the masks of places that no token can tell apart. */
interface Mask {
  next: NextTokens | undefined
}

/** A place in a text: all that may follow depends on it alone. */
export interface Place {
  /** Each awaits a byte. */
  readonly frames: readonly Frame[]
  readonly mask: Mask
  /** Places behind a byte; null: it may not come. */
  readonly behind: Map<number, Place | null>
  /** The same by the frames that read it: most bytes lead where others do. */
  readonly behindFrames: Map<string, Place>
}

/** The bytes of all tokens, one behind the other; nothing for those that are no text. */
export interface TokenBytes {
  /** Where those of each token begin, and the end. */
  readonly starts: Int32Array
  readonly bytes: Uint8Array
  /** Bytes of the longest. */
  readonly longest: number
}

/** A grammar gives up where it is in too many places at once: the thread of xgrammar knows better then. */
const limits = { visits: 512, tokenVisits: 2048, places: 4096, frames: 2 ** 17, count: 2 ** 20 }
/** Of masks that are kept for a grammar. */
const maxMaskBytes = 8 * 2 ** 20

/**
 * Tells where in its grammar a text is, so that masks are asked for once for each place and not once for each token. A
 * place is a set of stacks that a text may be at (as GLR parsers keep them), and the places seen form an automaton that
 * grows while texts are read. Counts of a repetition that are too far from its bounds for a token to reach them share
 * their masks. Does a bounded amount of work for a token, whatever the grammar.
 */
export class Places {
  readonly #parts: Parts
  readonly #tokens: TokenBytes
  #bottom!: Frame
  #places = new Map<string, Place>()
  #masks = new Map<string, Mask>()
  /** Those that are known, the oldest first. */
  readonly #known = new Set<Mask>()
  #maskBytes = 0
  #numFrames = 0
  /** Of them, those before the last new beginning. */
  #numForgotten = 0
  #visits = 0

  constructor(rules: Rules, tokens: TokenBytes) {
    this.#parts = new Parts(rules)
    this.#tokens = tokens
    this.#forget()
  }

  /** Where every text begins; undefined where that is too much to follow. */
  start(): Place | undefined {
    this.#visits = 0
    return this.#placeOf([this.#frame(this.#parts.rule('root'), 0, this.#bottom)])
  }

  /** The place behind a token; undefined where it may not come, is no text, or leads to too many places. */
  follow(from: Place, token: number): Place | undefined {
    const { starts, bytes } = this.#tokens
    const [start, end] = [starts[token], starts[token + 1]]
    if (start === undefined || end === undefined || start === end) return undefined
    this.#visits = 0
    let place: Place | null | undefined = from
    for (let i = start; i < end && place; i++) place = this.#step(place, bytes[i]!)
    return place ?? undefined
  }

  /** Keeps what may come next at a place. */
  learn({ mask }: Place, next: NextTokens): void {
    if (mask.next) return
    mask.next = next
    this.#known.add(mask)
    this.#maskBytes += bytesOf(next)
    for (const oldest of this.#known) if (this.#maskBytes > maxMaskBytes) this.#drop(oldest)
  }

  #step(place: Place, byte: number): Place | null {
    let behind = place.behind.get(byte)
    if (behind === undefined) {
      const read = place.frames.filter(({ part }) => part!.type === 'byte' && part!.allows(byte))
      const key = read.map(({ id }) => id).join()
      behind = read.length === 0 ? null : (place.behindFrames.get(key) ?? this.#placeOf(read.map((f) => f.behind!)))
      if (behind) place.behindFrames.set(key, behind)
      if (behind !== undefined) place.behind.set(byte, behind)
    }
    return behind ?? null
  }

  /** The place of a text that may be at any of these; undefined: too many. */
  #placeOf(frames: readonly Frame[]): Place | undefined {
    const seen = new Set<Frame>()
    const before = this.#visits
    for (const frame of frames) this.#expand(frame, seen)
    this.#visits = before + seen.size
    if (seen.size > limits.visits || this.#visits > limits.tokenVisits) return undefined
    const awaiting = [...seen].filter(({ part }) => !part || part.type === 'byte')
    const key = keyOf(awaiting)
    let place = this.#places.get(key)
    if (!place) {
      if (this.#places.size >= limits.places || this.#numFrames - this.#numForgotten > limits.frames) this.#forget()
      const mask = this.#maskOf(keyOf(awaiting.map(({ twin }) => twin)))
      place = { frames: awaiting.filter(({ part }) => part), mask, behind: new Map(), behindFrames: new Map() }
      this.#places.set(key, place)
    }
    return place
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
    const key = part.id * limits.count + count
    let frame = behind.above.get(key)
    if (!frame) {
      const far = this.#farCount(part, count)
      const twin = far === count && behind.twin === behind ? undefined : this.#frame(part, far, behind.twin)
      frame = this.#newFrame(part, count, behind, twin)
      behind.above.set(key, frame)
    }
    return frame
  }

  #newFrame(part?: Part, count = 0, behind?: Frame, twin?: Frame): Frame {
    const frame = { id: this.#numFrames++, part, count, behind, above: new Map<number, Frame>() }
    return Object.assign(frame, { twin: twin ?? (frame as Frame) })
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
    this.#bottom = this.#newFrame()
    this.#places = new Map()
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
