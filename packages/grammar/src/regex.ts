import { alt, chars, checkRules, empty, grammarFault, repeat, seq, type CodeRange, type Node } from './ast.ts'
import { complement, union } from './ranges.ts'

/** Longest pattern, deepest group and highest count that are read. */
const limits = { length: 20_000, depth: 100, count: 10_000 }

const digits: CodeRange[] = [[0x30, 0x39]]
const word: CodeRange[] = [...digits, [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]
const spaces: CodeRange[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const lineEnds: CodeRange[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]
const classes: Readonly<Record<string, readonly CodeRange[]>> = {
  d: digits,
  D: complement(digits),
  w: word,
  W: complement(word),
  s: spaces,
  S: complement(spaces),
}
const controls: Readonly<Record<string, number>> = { n: 0x0a, r: 0x0d, t: 0x09, v: 0x0b, f: 0x0c, 0: 0 }

/**
 * Reads a regular expression (ECMAScript's notation) whose whole text must match; anchors at the ends change nothing.
 * `ofClass` says how a set of characters is written, so that a pattern inside a JSON string may escape.
 * What no context-free grammar can do (looking around, back references) and what we lack is named.
 */
export function parseRegex(
  pattern: string,
  what: string,
  ofClass: (ranges: readonly CodeRange[]) => Node = (ranges) => chars(...ranges),
): Node {
  if (pattern.length > limits.length)
    throw grammarFault(`${what}: has ${pattern.length} characters, at most ${limits.length} are read; shorten it`)
  return new RegexReader(pattern, what, ofClass).read()
}

class RegexReader {
  readonly #source: string[]
  readonly #what: string
  readonly #ofClass: (ranges: readonly CodeRange[]) => Node
  #at = 0
  #depth = 0

  constructor(pattern: string, what: string, ofClass: (ranges: readonly CodeRange[]) => Node) {
    this.#source = Array.from(pattern)
    this.#what = what
    this.#ofClass = ofClass
  }

  read(): Node {
    const node = this.#alternatives()
    if (this.#at < this.#source.length) throw this.#fault('has a ")" without its "("')
    return node
  }

  #fault(message: string): Error {
    return grammarFault(`${this.#what}: ${message} (at character ${this.#at})`)
  }

  #peek(): string | undefined {
    return this.#source[this.#at]
  }

  #take(token: string): boolean {
    if (!token.split('').every((char, i) => this.#source[this.#at + i] === char)) return false
    this.#at += token.length
    return true
  }

  #alternatives(): Node {
    if (++this.#depth > limits.depth) throw this.#fault(`nests groups deeper than ${limits.depth}`)
    const options = [this.#sequence()]
    while (this.#take('|')) options.push(this.#sequence())
    this.#depth--
    return alt(...options)
  }

  #sequence(): Node {
    const parts: Node[] = []
    for (;;) {
      const next = this.#peek()
      if (next === undefined || next === '|' || next === ')') return parts.length === 0 ? empty : seq(...parts)
      if (next === '^') {
        if (this.#depth > 1 || parts.length > 0) throw this.#fault('has "^" elsewhere than at the start')
        this.#at++
      } else if (next === '$') {
        this.#at++
        const after = this.#peek()
        if (this.#depth > 1 || (after !== undefined && after !== '|'))
          throw this.#fault('has "$" elsewhere than at the end')
      } else parts.push(this.#quantified(this.#atom()))
    }
  }

  #atom(): Node {
    if (this.#take('(')) return this.#group()
    if (this.#take('[')) return this.#ofClass(this.#set())
    if (this.#take('.')) return this.#ofClass(complement(lineEnds))
    if (this.#take('\\')) return this.#ofClass(this.#escape())
    const char = this.#source[this.#at]!
    if ('*+?{'.includes(char)) throw this.#fault(`has "${char}" with nothing to repeat`)
    this.#at++
    const code = char.codePointAt(0)!
    return this.#ofClass([[code, code]])
  }

  #group(): Node {
    if (this.#take('?')) {
      if (this.#take('=') || this.#take('!') || this.#take('<=') || this.#take('<!'))
        throw this.#fault('looks ahead or behind, which is not supported; spell out what may stand there')
      if (this.#take('<')) while (this.#peek() !== undefined && !this.#take('>')) this.#at++
      else if (!this.#take(':')) throw this.#fault('has an unknown kind of group; use (?:...)')
    }
    const node = this.#alternatives()
    if (!this.#take(')')) throw this.#fault('has a "(" without its ")"')
    return node
  }

  #quantified(node: Node): Node {
    let result = node
    for (let count = 0; ; count++) {
      const bounds = this.#bounds()
      if (!bounds) return result
      if (count > 0) throw this.#fault('repeats a repetition; put the inner one in a group')
      // lazy or greedy, the accepted texts are the same
      this.#take('?')
      result = repeat(result, bounds[0], bounds[1])
    }
  }

  #bounds(): [number, number] | undefined {
    if (this.#take('*')) return [0, Infinity]
    if (this.#take('+')) return [1, Infinity]
    if (this.#take('?')) return [0, 1]
    if (this.#peek() !== '{') return undefined
    const rest = this.#source.slice(this.#at, this.#at + 24).join('')
    const match = /^\{(\d+)(,(\d*))?\}/.exec(rest)
    if (!match) throw this.#fault('has a "{" that is no count such as {2,5}; write \\{ for the character')
    this.#at += match[0].length
    const min = Number(match[1])
    const max = match[2] === undefined ? min : match[3] === '' ? Infinity : Number(match[3])
    if (min > max) throw this.#fault(`has the count ${match[0]}, whose bounds are swapped`)
    if (min > limits.count || (max !== Infinity && max > limits.count))
      throw this.#fault(`has the count ${match[0]}, at most ${limits.count} is supported`)
    return [min, max]
  }

  #set(): CodeRange[] {
    const isNegated = this.#take('^')
    const ranges: CodeRange[] = []
    while (!this.#take(']')) {
      const low = this.#member()
      if (this.#peek() === '-' && this.#source[this.#at + 1] !== ']' && low.length === 1 && low[0]![0] === low[0]![1]) {
        this.#at++
        const high = this.#member()
        const [from] = low[0]!
        const to = high[0]![1]
        if (high.length !== 1 || high[0]![0] !== to || to < from) throw this.#fault('has a range that goes backwards')
        ranges.push([from, to])
      } else ranges.push(...low)
    }
    return isNegated ? complement(ranges) : union(ranges)
  }

  #member(): readonly CodeRange[] {
    const char = this.#peek()
    if (char === undefined) throw this.#fault('has a "[" without its "]"')
    this.#at++
    if (char === '\\') return this.#take('b') ? [[8, 8]] : this.#escape()
    const code = char.codePointAt(0)!
    return [[code, code]]
  }

  /** After the backslash. */
  #escape(): readonly CodeRange[] {
    const char = this.#peek()
    if (char === undefined) throw this.#fault('ends with a backslash')
    this.#at++
    if (char in classes) return classes[char]!
    if (char === 'x' || char === 'u') {
      const rest = this.#source.slice(this.#at, this.#at + 8).join('')
      const match =
        char === 'x' ? /^([0-9a-fA-F]{2})/.exec(rest) : /^(?:\{([0-9a-fA-F]{1,6})\}|([0-9a-fA-F]{4}))/.exec(rest)
      if (!match) throw this.#fault(`has \\${char} without its hexadecimal digits`)
      this.#at += match[0].length
      const code = Number.parseInt(match[1] ?? match[2]!, 16)
      if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        throw this.#fault(`has \\${char}${match[0]}, no character`)
      return [[code, code]]
    }
    const code = controls[char] ?? char.codePointAt(0)!
    // a letter that means nothing yet may mean something in another engine
    if (!(char in controls) && /[A-Za-z0-9]/.test(char))
      throw this.#fault(`has \\${char}, which is not supported; spell out its characters`)
    return [[code, code]]
  }
}

/** A grammar whose texts are those that the expression matches as a whole. */
export function regexRules(pattern: string, what = 'regex'): Map<string, Node> {
  const rules = new Map([['root', parseRegex(pattern, what)]])
  checkRules(rules, what)
  return rules
}
