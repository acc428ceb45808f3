import { nullableRules, isNullable, type CodeRange, type Node, type Rules } from './ast.ts'
import { utf8Ranges } from './utf8.ts'

/** A piece of a grammar over bytes. */
export type Part =
  | { readonly id: number; readonly type: 'byte'; readonly allows: (byte: number) => boolean }
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
    const parts = ranges.map(([low, high]) =>
      this.#add({ type: 'byte', allows: (byte) => byte >= low && byte <= high }),
    )
    return parts.length === 1 ? parts[0]! : this.#add({ type: 'seq', parts })
  }

  #chars(ranges: readonly CodeRange[]): Part {
    const ascii = ranges.filter(([low]) => low < 0x80).map(([low, high]) => [low, Math.min(high, 0x7f)] as const)
    const one = this.#add({
      type: 'byte',
      allows: (byte) => ascii.some(([low, high]) => byte >= low && byte <= high),
    })
    const others = ranges.flatMap(utf8Ranges).map((run) => this.#bytes(run))
    return others.length === 0 ? one : this.#add({ type: 'alt', options: [one, ...others] })
  }
}
