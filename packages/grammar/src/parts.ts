import { nullableRules, isNullable, type CodeRange, type Node, type Rules } from './ast.ts'
import { utf8Ranges } from './utf8.ts'

/** A piece of a grammar over bytes. */
export type Part =
  /** Bit `b % 32` of word `b / 32` for each byte that it may be, `size` of them. */
  | { readonly id: number; readonly type: 'byte'; readonly bytes: Uint32Array; readonly size: number }
  | { readonly id: number; readonly type: 'seq'; readonly parts: readonly Part[] }
  | { readonly id: number; readonly type: 'alt'; readonly options: readonly Part[] }
  /** `reads`: each turn takes a byte at least. */
  | {
      readonly id: number
      readonly type: 'repeat'
      readonly of: Part
      readonly min: number
      readonly max: number
      readonly reads: boolean
    }
  | { readonly id: number; readonly type: 'ref'; readonly rule: string }

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

/** The rules of a grammar by bytes, each made when it is first asked for. */
export class Parts {
  readonly #rules: Rules
  readonly #nullable: ReadonlySet<string>
  readonly #made = new Map<string, Part>()
  #numParts = 0

  constructor(rules: Rules) {
    this.#rules = rules
    this.#nullable = nullableRules(rules)
  }

  rule(name: string): Part {
    let part = this.#made.get(name)
    if (!part) this.#made.set(name, (part = this.#lower(this.#rules.get(name)!)))
    return part
  }

  #add(part: WithoutId<Part>): Part {
    return { ...part, id: this.#numParts++ }
  }

  #lower(node: Node): Part {
    switch (node.type) {
      case 'text':
        return this.#bytes(Array.from(new TextEncoder().encode(node.text), (byte) => [byte, byte] as const))
      case 'chars':
        return this.#chars(node.ranges)
      case 'seq':
        return this.#add({ type: 'seq', parts: node.parts.map((part) => this.#lower(part)) })
      case 'alt':
        return this.#add({ type: 'alt', options: node.options.map((option) => this.#lower(option)) })
      case 'repeat': {
        const { min, max } = node
        return this.#add({
          type: 'repeat',
          of: this.#lower(node.of),
          min,
          max,
          reads: !isNullable(node.of, this.#nullable),
        })
      }
      case 'ref':
        return this.#add({ type: 'ref', rule: node.rule })
    }
  }

  #bytes(ranges: readonly CodeRange[]): Part {
    const parts = ranges.map((range) => this.#add({ type: 'byte', ...setOf([range]) }))
    return parts.length === 1 ? parts[0]! : this.#add({ type: 'seq', parts })
  }

  #chars(ranges: readonly CodeRange[]): Part {
    const ascii = ranges.filter(([low]) => low < 0x80).map(([low, high]) => [low, Math.min(high, 0x7f)] as const)
    const one = this.#add({ type: 'byte', ...setOf(ascii) })
    const others = ranges.flatMap(utf8Ranges).map((run) => this.#bytes(run))
    return others.length === 0 ? one : this.#add({ type: 'alt', options: [one, ...others] })
  }
}

function setOf(ranges: readonly CodeRange[]): { readonly bytes: Uint32Array; readonly size: number } {
  const bytes = new Uint32Array(8)
  let size = 0
  for (const [low, high] of ranges)
    for (let byte = low; byte <= high; byte++, size++) bytes[byte >> 5]! |= 1 << (byte & 31)
  return { bytes, size }
}
