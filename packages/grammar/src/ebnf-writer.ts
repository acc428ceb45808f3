import { countedBlock, type CodeRange, type Counted, type Node, type Rules } from './ast.ts'
import { utf8Ranges } from './utf8.ts'

/** The grammar in xgrammar's EBNF. */
export function toEbnf(rules: Rules): string {
  return new Writer().write(rules)
}

class Writer {
  readonly #lines: string[] = []
  /** Names of rules for counted characters, by what they read. */
  readonly #chains = new Map<string, string>()

  write(rules: Rules): string {
    const own = Array.from(rules, ([name, node]) => `${name} ::= ${this.#write(node)}`)
    return [...own, ...this.#lines].join('\n')
  }

  #write(node: Node): string {
    switch (node.type) {
      case 'text':
        return quote(node.text)
      case 'chars':
        return writeChars(node.ranges)
      case 'seq':
        return node.parts.length === 0 ? '""' : `(${node.parts.map((part) => this.#write(part)).join(' ')})`
      case 'alt':
        return `(${node.options.map((option) => this.#write(option)).join(' | ')})`
      case 'repeat':
        return `${this.#write(node.of)}${quantifier(node.min, node.max)}`
      case 'counted':
        return this.#writeCounted(node)
      case 'ref':
        return node.rule
    }
  }

  /**
   * Each character is a rule that goes on with the next one: so a token of several characters stays within the rule where it
   * begins, and xgrammar knows beforehand whether it may come. Only tokens that lead beyond the end of a rule are looked at
   * while a text is made. Masks of rules take long to prepare, so all runs share them, and long counts go by blocks.
   */
  #writeCounted({ of, min, max, end }: Counted): string {
    const one = this.#write(of)
    const exactly = (count: number): string =>
      count === 1 ? this.#rule(one) : this.#rule(`(${one} ${exactly(count - 1)})`)
    const upTo = (count: number): string =>
      this.#rule(count === 0 ? quote(end) : `(${quote(end)} | (${one} ${upTo(count - 1)}))`)
    const [numBlocks, rest] = [Math.floor(min / countedBlock), min % countedBlock]
    const parts = [
      ...(numBlocks > 0 ? [`${exactly(countedBlock)}${quantifier(numBlocks, numBlocks)}`] : []),
      ...(rest > 0 ? [exactly(rest)] : []),
    ]
    if (max === Infinity) parts.push(`${one}*`, quote(end))
    else {
      const numFree = Math.max(0, Math.floor((max - min) / countedBlock) - 1)
      if (numFree > 0) parts.push(`${exactly(countedBlock)}${quantifier(0, numFree)}`)
      parts.push(upTo(max - min - numFree * countedBlock))
    }
    return `(${parts.join(' ')})`
  }

  #rule(body: string): string {
    let name = this.#chains.get(body)
    if (name === undefined) {
      name = `counted${this.#chains.size}`
      this.#chains.set(body, name)
      this.#lines.push(`${name} ::= ${body}`)
    }
    return name
  }
}

function quantifier(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  return min === max ? `{${min}}` : `{${min},${max}}`
}

/** A literal in EBNF; what is not plain ASCII is escaped. */
export function quote(value: string): string {
  return `"${Array.from(value, (char) => letter(char.codePointAt(0)!)).join('')}"`
}

/** xgrammar 0.1.27 reads classes beyond ASCII as bytes, so bytes are what we write. */
function writeChars(ranges: readonly CodeRange[]): string {
  const isAscii = ([low]: CodeRange): boolean => low < 0x80
  const ascii = ranges.filter(isAscii).map(([low, high]) => span(letter(low), letter(Math.min(high, 0x7f))))
  // a byte alone in brackets would be taken for a character, twice it is not
  const runs = ranges
    .flatMap(utf8Ranges)
    .map((run) => run.map(([low, high]) => `[${low === high ? byte(low) + byte(low) : span(byte(low), byte(high))}]`))
  const options = [...(ascii.length > 0 ? [`[${ascii.join('')}]`] : []), ...runs.map((run) => run.join(' '))]
  return options.length === 1 && runs.length === 0 ? options[0]! : `(${options.join(' | ')})`
}

function span(low: string, high: string): string {
  return low === high ? low : `${low}-${high}`
}

function byte(value: number): string {
  return `\\x${value.toString(16)}`
}

function letter(code: number): string {
  // letters, digits and space mean themselves both in quotes and in brackets
  if (
    (code >= 0x30 && code <= 0x39) ||
    (code >= 0x41 && code <= 0x5a) ||
    (code >= 0x61 && code <= 0x7a) ||
    code === 0x20
  )
    return String.fromCharCode(code)
  return `\\U${code.toString(16).padStart(8, '0')}`
}
