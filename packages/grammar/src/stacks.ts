import type { Node, Rules } from './ast.ts'
import type { Place } from './automaton.ts'
import { Parts, type Part } from './parts.ts'

/** Something still to be read, and what comes behind it: one stack of a pushdown automaton. Equal ones are one object. */
export class Stack {
  readonly id: number
  /** Undefined at the end of the text. */
  readonly part: Part | undefined
  /** Parts of a sequence that have been read, or turns of a repetition. */
  readonly count: number
  readonly behind: Stack | undefined
  /** Those that have this one behind them: the first, and the others by part and count. */
  above: Stack | undefined
  others: Map<number, Stack> | undefined
  /** The last search that met it. */
  search = 0
  /** Where a text is that has come to this one alone. */
  place: Place | undefined
  /** The one that stands for all from which a token cannot tell it. */
  twin: Stack | undefined

  constructor(id: number, part?: Part, count = 0, behind?: Stack) {
    this.id = id
    this.part = part
    this.count = count
    this.behind = behind
  }
}

/** Turns of a part that may still come, and what is behind the last. */
export interface Loop {
  readonly of: Part
  /** The same as a node, which tells whether it is equal to that of another grammar. */
  readonly node: Node
  readonly min: number
  readonly max: number
  /** Before the next turn. */
  readonly stack: Stack
  readonly behind: Stack
}

/** What stacks turn into before a byte is read. */
export interface Expansion {
  /** Those that await one, or the end. */
  readonly ready: readonly Stack[]
  /** How many were looked at. */
  readonly numVisits: number
  /** Where there was but one, and it is at a repetition. */
  readonly loop: Loop | undefined
}

/** Above what a schema may count to. */
const maxCount = 2 ** 20

/** The stacks that texts of a grammar may be at. */
export class Stacks {
  readonly #parts: Parts
  /** Bytes of the longest token. */
  readonly #longest: number
  /** Behind a text. */
  #bottom: Stack
  #size = 0
  #search = 0
  #ready: Stack[] = []
  #visitsLeft = 0

  constructor(rules: Rules, longest: number) {
    this.#parts = new Parts(rules)
    this.#longest = longest
    this.#bottom = new Stack(this.#size++)
  }

  /** How many have been made since the last new beginning. */
  get size(): number {
    return this.#size - this.#bottom.id
  }

  /** Begins anew; stacks that are in use go on, and are never one with new ones. */
  clear(): void {
    this.#bottom = new Stack(this.#size++)
  }

  /** Before a text. */
  start(): Stack {
    return this.#stack(this.#parts.rule('root'), 0, this.#bottom)
  }

  /** Before a text that is no more than this part. */
  alone(part: Part): Stack {
    return this.#stack(part, 0, this.#bottom)
  }

  /** The repetition that a stack is at, or undefined where there is a choice before it. */
  #loopOf(stack: Stack): Loop | undefined {
    let at = stack
    for (let within: Stack | undefined; (within = this.#within(at));) at = within
    const { part, count, behind } = at
    if (part?.type !== 'repeat' || !part.of || !part.reads) return undefined
    const { of: node, min, max } = part
    return { of: part.parts[0]!, node, min: Math.max(0, min - count), max: max - count, stack: at, behind: behind! }
  }

  /** What a rule or a sequence turns into, which leave no choice. */
  #within({ part, count, behind }: Stack): Stack | undefined {
    if (part?.type === 'ref') return this.#stack(this.#parts.rule(part.rule), 0, behind!)
    if (part?.type !== 'seq') return undefined
    const rest = count + 1 < part.parts.length ? this.#stack(part, count + 1, behind!) : behind!
    return part.parts.length > 0 ? this.#stack(part.parts[count]!, 0, rest) : rest
  }

  /** What these turn into before a byte is read; gives up where it has to look at more than `limit`. */
  expand(stacks: readonly Stack[], limit: number): Expansion {
    this.#search++
    this.#ready = []
    this.#visitsLeft = limit + 1
    for (const stack of stacks) this.#visit(stack)
    const loop = stacks.length === 1 ? this.#loopOf(stacks[0]!) : undefined
    return { ready: this.#ready, numVisits: limit + 1 - this.#visitsLeft, loop }
  }

  #visit(stack: Stack): void {
    if (stack.search === this.#search || this.#visitsLeft === 0) return
    stack.search = this.#search
    this.#visitsLeft--
    const { part, count } = stack
    const behind = stack.behind!
    if (!part || part.type === 'byte') this.#ready.push(stack)
    else if (part.type === 'alt') for (const option of part.parts) this.#visit(this.#stack(option, 0, behind))
    else if (part.type === 'repeat') {
      const { min, max } = part
      const of = part.parts[0]!
      if (count >= min) this.#visit(behind)
      if (count >= max) return
      const turns = max === Infinity ? Math.min(count + 1, min) : count + 1
      this.#visit(this.#stack(of, 0, turns === max ? behind : this.#stack(part, turns, behind)))
    } else this.#visit(this.#within(stack)!)
  }

  #stack(part: Part, count: number, behind: Stack): Stack {
    const { above } = behind
    if (!above) return (behind.above = new Stack(this.#size++, part, count, behind))
    if (above.part === part && above.count === count) return above
    const others = (behind.others ??= new Map<number, Stack>())
    const key = part.id * maxCount + count
    let stack = others.get(key)
    if (!stack) others.set(key, (stack = new Stack(this.#size++, part, count, behind)))
    return stack
  }

  /**
   * The one that stands for all from which no token can tell it: counts of a repetition that are too far from its bounds
   * for a token to reach them are alike. Without recursion: stacks may be as deep as texts are long.
   */
  twin(stack: Stack): Stack {
    const open: Stack[] = []
    for (let at: Stack | undefined = stack; at && !at.twin; at = at.behind) open.push(at)
    for (const one of open.reverse()) {
      const { part, count, behind } = one
      const far = part ? this.#farCount(part, count) : count
      const isOwn = !part || (far === count && behind!.twin === behind)
      one.twin = isOwn ? one : this.#stack(part, far, behind!.twin!)
    }
    return stack.twin!
  }

  /** The least count that a token cannot tell from this one, since a turn takes a byte at least. */
  #farCount(part: Part, count: number): number {
    if (part.type !== 'repeat' || !part.reads) return count
    if (count + this.#longest < part.min) return 0
    return count > part.min && count + this.#longest < part.max ? part.min : count
  }
}

/** Names a set of stacks. */
export function keyOf(stacks: readonly Stack[]): string {
  return [...new Set(stacks.map(({ id }) => id))].sort((a, b) => a - b).join()
}
