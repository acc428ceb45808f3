import type { Node } from './ast.ts'
import { Automaton, type Place } from './automaton.ts'
import type { Loop } from './stacks.ts'
import { allow, childOf, largeTrie, shared, type TokenBytes, type TokenTrie } from './token-trie.ts'

/** Nodes of a tree of tokens, and the turns that are over there. */
interface Ends {
  readonly nodes: ArrayLike<number>
  readonly turns: ArrayLike<number>
}

/** How turns of a repetition go along a tree of tokens from one of its nodes on. */
interface Run {
  /** Where turns are over, with the node itself, where none has begun. */
  readonly over: Ends
  /** Tokens behind the node, and the turns that each begins. */
  readonly tokens: ArrayLike<number>
  readonly begun: ArrayLike<number>
  /** Turns that a token begins, at most. */
  readonly most: number
}

/** The run from the root for what is repeated, in memory that threads share. */
export interface KnownRun {
  readonly of: Node
  readonly run: Run
}

/** Follows the turns of a part; undefined where it cannot be told when one is over, or that takes too many steps. */
function follow(trie: TokenTrie, root: number, automaton: Automaton, start: Place, maxSteps: number): Run | undefined {
  const { bytes, children, tokens, firsts, ends } = trie
  const over = { nodes: [root], turns: [0] }
  const within: number[] = []
  const begun: number[] = []
  let most = 0
  let numSteps = 0
  const visit = (from: Place, parent: number, turns: number): boolean => {
    for (let node = children[parent]!; node < children[parent + 1]!; node++) {
      if (++numSteps > maxSteps) return false
      const to = automaton.step(from, bytes[node]!)
      if (!to) continue
      const { mayEnd } = to
      if (to.isLost || (mayEnd && to.stacks.length > 1)) return false
      for (let i = firsts[node]!; i < ends[node]!; i++) {
        within.push(tokens[i]!)
        begun.push(turns + 1)
      }
      most = Math.max(most, turns + 1)
      if (children[node] === children[node + 1]) continue
      if (mayEnd) {
        over.nodes.push(node)
        over.turns.push(turns + 1)
      }
      if (!visit(mayEnd ? start : to, node, mayEnd ? turns + 1 : turns)) return false
    }
    return true
  }
  return visit(start, root, 0) ? { over, tokens: within, begun, most } : undefined
}

/** The runs of what strings repeat, for trees that are too large to be followed beside a model. */
export function knownRuns(contents: readonly Node[], { trie, longest }: TokenBytes): KnownRun[] {
  if (trie.bytes.length <= largeTrie) return []
  return contents.flatMap((of) => {
    const automaton = new Automaton(new Map([['root', of]]), longest)
    const run = follow(trie, 0, automaton, automaton.start(), Infinity)
    if (!run) return []
    const over = { nodes: shared(run.over.nodes), turns: shared(run.over.turns) }
    return [{ of, run: { over, tokens: shared(run.tokens), begun: shared(run.begun), most: run.most } }]
  })
}

/** A run, and what has been asked of it. */
export class Turns {
  readonly #run: Run
  readonly #trie: TokenTrie
  readonly #exits = new Map<number, Ends>()
  readonly #masks = new Map<number, Uint32Array>()

  constructor(run: Run, trie: TokenTrie) {
    this.#run = run
    this.#trie = trie
  }

  /** Turns that a token begins, at most. */
  get most(): number {
    return this.#run.most
  }

  get numTokens(): number {
    return this.#run.tokens.length
  }

  /** Adds the tokens that take no more than so many turns. */
  allow(mask: Uint32Array, max: number): void {
    const most = Math.min(max, this.most)
    if (this.numTokens < mask.length) return this.#add(mask, most)
    let known = this.#masks.get(most)
    if (!known) {
      this.#masks.set(most, (known = new Uint32Array(mask.length)))
      this.#add(known, most)
    }
    for (let i = 0; i < mask.length; i++) mask[i]! |= known[i]!
  }

  #add(mask: Uint32Array, most: number): void {
    const { tokens, begun } = this.#run
    for (let i = 0; i < begun.length; i++) if (begun[i]! <= most) allow(mask, tokens[i]!)
  }

  /** The nodes that a byte leads to from where turns are over. */
  exits(byte: number): Ends {
    const known = this.#exits.get(byte)
    if (known) return known
    const { nodes, turns } = this.#run.over
    const exits = { nodes: [] as number[], turns: [] as number[] }
    for (let i = 0; i < nodes.length; i++) {
      const exit = childOf(this.#trie, nodes[i]!, byte)
      if (exit === undefined) continue
      exits.nodes.push(exit)
      exits.turns.push(turns[i]!)
    }
    this.#exits.set(byte, exits)
    return exits
  }
}

/** Turns of a part, by the node that they begin behind. Null: it cannot be told when one is over. */
type ByNode = Map<number, Turns | null>

/** Tokens of all turns that are kept, the rest of what they hold as so many more, and steps to find them. */
const limits = { tokens: 2 ** 20, turns: 64, steps: largeTrie }

/** Turns of repetitions along a tree of tokens, which all grammars share. */
export class Loops {
  readonly #trie: TokenTrie
  /** By what a part is, the one used last at the end. */
  readonly #kept = new Map<string, ByNode>()
  readonly #known: ReadonlyMap<string, Turns>
  #byPart = new WeakMap<Loop['of'], ByNode>()
  #size = 0

  /** `known`: of loops in trees that are too large to be followed here. */
  constructor(trie: TokenTrie, known: readonly KnownRun[] = []) {
    this.#trie = trie
    this.#known = new Map(known.map(({ of, run }) => [JSON.stringify(of), new Turns(run, trie)]))
  }

  /** Behind a node; `automaton` is one that the loop is in. */
  turns(loop: Loop, node: number, automaton: Automaton): Turns | undefined {
    const { of } = loop
    const kept = this.#byPart.get(of) ?? this.#keptFor(loop)
    let turns = kept.get(node)
    if (turns === undefined) {
      const run = follow(this.#trie, node, automaton, automaton.alone(of), limits.steps)
      turns = run ? new Turns(run, this.#trie) : null
      this.#keep(kept, node, turns)
      if (this.#size > limits.tokens) this.#forget(kept)
    }
    return turns ?? undefined
  }

  /** Equal parts of other grammars have the same. */
  #keptFor({ of, node }: Loop): ByNode {
    const key = JSON.stringify(node)
    let kept = this.#kept.get(key)
    if (!kept) {
      kept = new Map()
      const known = this.#known.get(key)
      if (known) this.#keep(kept, 0, known)
    }
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    this.#byPart.set(of, kept)
    return kept
  }

  #keep(kept: ByNode, node: number, turns: Turns | null): void {
    kept.set(node, turns)
    this.#size += sizeOf(turns)
  }

  /** All but the one in use, the oldest first. */
  #forget(inUse: ByNode): void {
    for (const [key, kept] of this.#kept) {
      if (kept === inUse || this.#size <= limits.tokens / 2) continue
      for (const turns of kept.values()) this.#size -= sizeOf(turns)
      this.#kept.delete(key)
    }
    // who still has one of those asks for its key again
    this.#byPart = new WeakMap()
  }
}

function sizeOf(turns: Turns | null): number {
  return limits.turns + (turns?.numTokens ?? 0)
}
