import { isNullable, nullableRules, text, type CodeRange, type Node, type Rules } from './ast.ts'
import { utf8Ranges } from './utf8.ts'

type PartType = 'byte' | 'seq' | 'alt' | 'repeat' | 'ref'
const noBytes = new Uint32Array(8)
const encoder = new TextEncoder()

/** A piece of a grammar over bytes. All are of one shape, since who follows texts meets every type in turn. */
export class Part {
  readonly id: number
  readonly type: PartType
  /** Of a sequence, or of those that it may be; of a repetition the one that is repeated. */
  readonly parts: readonly Part[]
  /** Bit `b % 32` of word `b / 32` for each byte that it may be, `size` of them. */
  bytes = noBytes
  size = 0
  /** Turns of a repetition. */
  min = 0
  max = 0
  /** Whether each turn takes a byte at least. */
  reads = false
  /** What is repeated, where that depends on no rules. */
  of: Node | undefined = undefined
  rule = ''

  constructor(id: number, type: PartType, parts: readonly Part[] = []) {
    this.id = id
    this.type = type
    this.parts = parts
  }
}

/** Rules that are made beforehand, which is less work than one by one. */
const maxMadeAtOnce = 256

/** The rules of a grammar by bytes; of many each is made when it is first asked for. */
export class Parts {
  readonly #rules: Rules
  readonly #nullable: ReadonlySet<string>
  readonly #made = new Map<string, Part>()
  /** By the node, since many stand in several places, and of bytes by what they may be. */
  readonly #lowered = new Map<Node, Part>()
  readonly #byteParts = new Map<string, Part>()
  #numParts = 0

  constructor(rules: Rules) {
    this.#rules = rules
    this.#nullable = nullableRules(rules)
    for (const name of rules.keys()) {
      if (this.#made.size >= maxMadeAtOnce) break
      this.rule(name)
    }
  }

  rule(name: string): Part {
    let part = this.#made.get(name)
    if (!part) this.#made.set(name, (part = this.#lower(this.#rules.get(name)!)))
    return part
  }

  #part(type: PartType, parts?: readonly Part[]): Part {
    return new Part(this.#numParts++, type, parts)
  }

  #lower(node: Node): Part {
    let part = this.#lowered.get(node)
    if (!part) this.#lowered.set(node, (part = this.#make(node)))
    return part
  }

  #make(node: Node): Part {
    switch (node.type) {
      case 'text':
        return this.#run(Array.from(encoder.encode(node.text), (byte) => [byte, byte] as const))
      case 'chars':
        return this.#chars(node.ranges)
      case 'seq':
        return this.#part('seq', this.#all(node.parts))
      case 'alt':
        return this.#part('alt', this.#all(node.options))
      case 'repeat':
        return this.#repeat(node.of, node.min, node.max)
      case 'counted':
        return this.#part('seq', [this.#repeat(node.of, node.min, node.max), this.#lower(text(node.end))])
      case 'ref': {
        const part = this.#part('ref')
        part.rule = node.rule
        return part
      }
    }
  }

  #all(nodes: readonly Node[]): Part[] {
    return nodes.map((node) => this.#lower(node))
  }

  #repeat(of: Node, min: number, max: number): Part {
    const part = this.#part('repeat', [this.#lower(of)])
    part.min = min
    part.max = max
    part.reads = !isNullable(of, this.#nullable)
    part.of = refersTo(of) ? undefined : of
    return part
  }

  #byte(ranges: readonly CodeRange[]): Part {
    const name = ranges.join()
    const known = this.#byteParts.get(name)
    if (known) return known
    const part = this.#part('byte')
    this.#byteParts.set(name, part)
    part.bytes = new Uint32Array(8)
    for (const [low, high] of ranges)
      for (let byte = low; byte <= high; byte++, part.size++) part.bytes[byte >> 5]! |= 1 << (byte & 31)
    return part
  }

  /** One byte of each range, one after the other. */
  #run(ranges: readonly CodeRange[]): Part {
    const parts = ranges.map((range) => this.#byte([range]))
    return parts.length === 1 ? parts[0]! : this.#part('seq', parts)
  }

  #chars(ranges: readonly CodeRange[]): Part {
    const one = this.#byte(
      ranges.filter(([low]) => low < 0x80).map(([low, high]) => [low, Math.min(high, 0x7f)] as const),
    )
    const others = ranges.flatMap(utf8Ranges).map((run) => this.#run(run))
    return others.length === 0 ? one : this.#part('alt', [one, ...others])
  }
}

/** Whether it names a rule anywhere. */
function refersTo(node: Node): boolean {
  if (node.type === 'seq') return node.parts.some(refersTo)
  if (node.type === 'alt') return node.options.some(refersTo)
  return node.type === 'ref' || ((node.type === 'repeat' || node.type === 'counted') && refersTo(node.of))
}
