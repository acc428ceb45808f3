import { isObject, type JsonObject } from './json-file.ts'
import { TextTable, type Span } from './text-table.ts'

/** The large tables of a BPE model. */
export interface BpeTables {
  readonly vocab: Vocabulary
  readonly ranks: MergeRanks
}

/** Tokens and their ids. What an entry of the file writes with escapes lies in a map beside the table. */
export class Vocabulary {
  readonly #table: TextTable
  /** By entry of the table. */
  readonly #ids: Int32Array
  readonly #others: Map<string, number>
  /** The entry and one of each id, 0 where it has none. */
  readonly #entries: Int32Array
  readonly #otherTokens: Map<number, string>

  constructor(table: TextTable, ids: Int32Array, others: Map<string, number>, numIds: number) {
    this.#table = table
    this.#ids = ids
    this.#others = others
    this.#otherTokens = new Map(Array.from(others, ([token, id]) => [id, token]))
    this.#entries = new Int32Array(numIds)
    for (let entry = 0; entry < table.size; entry++) this.#entries[ids[entry]!] = entry + 1
  }

  /** Largest id and one; ids in between may be unused. */
  get numIds(): number {
    return this.#entries.length
  }

  get(token: string): number | undefined {
    const other = this.#others.get(token)
    if (other !== undefined) return other
    const entry = this.#table.find(token)
    return entry === undefined ? undefined : this.#ids[entry]
  }

  has(token: string): boolean {
    return this.get(token) !== undefined
  }

  /** Adds a token, or gives it another id. */
  set(token: string, id: number): void {
    this.#others.set(token, id)
    this.#otherTokens.set(id, token)
  }

  tokenOf(id: number): string | undefined {
    const other = this.#otherTokens.get(id)
    if (other !== undefined) return other
    const entry = this.#entries[id]
    return entry ? this.#table.keyAt(entry - 1) : undefined
  }

  /** All tokens by id. */
  list(): (string | undefined)[] {
    const length = Math.max(this.numIds, ...Array.from(this.#otherTokens.keys(), (id) => id + 1))
    return Array.from({ length }, (_, id) => this.tokenOf(id))
  }
}

/** Ranks of merges, asked for as @huggingface/tokenizers does: by the JSON text of the pair. */
export class MergeRanks {
  /** By "first second". */
  readonly #table: TextTable
  /** By entry of the table. */
  readonly #ranks: Int32Array
  readonly #others: ReadonlyMap<string, number>

  constructor(table: TextTable, ranks: Int32Array, others: ReadonlyMap<string, number>) {
    this.#table = table
    this.#ranks = ranks
    this.#others = others
  }

  get(pair: string): number | undefined {
    const [first, second] = JSON.parse(pair) as [string, string]
    const key = `${first} ${second}`
    const entry = this.#table.find(key)
    return entry === undefined ? this.#others.get(key) : this.#ranks[entry]
  }
}

/**
 * Reads the text of a tokenizer.json whose model is BPE: its tables directly, the rest as JSON with empty tables. With
 * 150,000 tokens this takes a twentieth of the time of `JSON.parse` and of what the library makes of its result.
 * Undefined for every other model and for everything unusual, mistakes included: they are for `JSON.parse`.
 */
export function readBpe(text: string): { json: JsonObject; tables: BpeTables } | undefined {
  const scanner = new Scanner(text)
  const start = scanner.table('vocab', '{')
  const vocab = start === undefined ? undefined : readVocab(scanner, text)
  const vocabEnd = scanner.position
  const merges = vocab && scanner.table('merges', '[')
  const ranks = merges === undefined ? undefined : readMerges(scanner, text)
  if (start === undefined || merges === undefined || !vocab || !ranks || merges < vocabEnd) return undefined
  const rest = text.slice(0, start) + text.slice(vocabEnd, merges) + text.slice(scanner.position)
  const json = parse(rest)
  const model = isObject(json) ? json['model'] : undefined
  if (!isObject(json) || !isObject(model) || model['type'] !== 'BPE') return undefined
  // were the tables found somewhere else, these would not be empty
  if (!isEmpty(model['vocab']) || !isEmpty(model['merges'])) return undefined
  return { json, tables: { vocab, ranks } }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0
}

/** UTF-16 units that an entry takes, about: tables are made of the size that they come to. */
const entryLength = 16

/** Entries up to the closing brace, which comes next; undefined where something else is found. */
function readVocab(scanner: Scanner, text: string): Vocabulary | undefined {
  const table = new TextTable(text, text.length / entryLength)
  const ids: number[] = []
  const others = new Map<string, number>()
  let largest = -1
  if (!scanner.comes('}'))
    do {
      const token = scanner.string()
      if (token === undefined || !scanner.take(':')) return undefined
      const id = scanner.integer()
      if (id === undefined) return undefined
      if (id > largest) largest = id
      if (typeof token === 'string') others.set(token, id)
      else if (table.add(token)) ids.push(id)
      else return undefined
    } while (scanner.take(','))
  // a list full of holes is not worth it
  if (!scanner.comes('}') || largest > 4 * (table.size + others.size) + 1000) return undefined
  for (const token of others.keys()) if (table.find(token) !== undefined) return undefined
  return new Vocabulary(table, Int32Array.from(ids), others, largest + 1)
}

/** Merges are texts "a b", or pairs in newer files. */
function readMerges(scanner: Scanner, text: string): MergeRanks | undefined {
  const table = new TextTable(text, text.length / entryLength)
  const ranks: number[] = []
  const others = new Map<string, number>()
  let rank = 0
  if (!scanner.comes(']'))
    do {
      let isNew = true
      if (scanner.take('[')) {
        const first = scanner.string()
        if (first === undefined || !scanner.take(',')) return undefined
        const second = scanner.string()
        if (second === undefined || !scanner.take(']')) return undefined
        const [one, two] = [first, second].map((part) => textOf(part, text)) as [string, string]
        // a space within a part would be for the library to judge
        if (one.includes(' ') || two.includes(' ') || one === '') return undefined
        if (typeof first === 'string' || typeof second === 'string') others.set(`${one} ${two}`, rank)
        else isNew = table.add(first, second)
      } else {
        const pair = scanner.string()
        if (pair === undefined) return undefined
        if (typeof pair === 'string') {
          if (!hasOneSpace(pair, { start: 0, end: pair.length })) return undefined
          others.set(pair, rank)
        } else if (hasOneSpace(text, pair)) isNew = table.add(pair)
        else return undefined
      }
      if (!isNew) return undefined
      if (table.size > ranks.length) ranks.push(rank)
      rank++
    } while (scanner.take(','))
  if (!scanner.comes(']')) return undefined
  for (const pair of others.keys()) if (table.find(pair) !== undefined) return undefined
  return new MergeRanks(table, Int32Array.from(ranks), others)
}

function textOf(part: Span | string, text: string): string {
  return typeof part === 'string' ? part : text.slice(part.start, part.end)
}

/** Whether a merge has one space, and not at its start. */
function hasOneSpace(text: string, { start, end }: Span): boolean {
  let found = -1
  for (let i = start; i < end; i++) {
    if (text.charCodeAt(i) !== 0x20) continue
    if (found >= 0) return false
    found = i
  }
  return found > start
}

const space = /\s*/y
const [quote, backslash] = [0x22, 0x5c]

/** A position in JSON text. Methods give undefined or false, and stay, where something else is found. */
class Scanner {
  readonly #text: string
  position = 0

  constructor(text: string) {
    this.#text = text
  }

  /** Goes behind `"name": {` or `[`, wherever that is next; a quote within a string would have a backslash before it. */
  table(name: string, bracket: '{' | '['): number | undefined {
    const pattern = new RegExp(`(?<!\\\\)"${name}"\\s*:\\s*\\${bracket}`, 'g')
    pattern.lastIndex = this.position
    if (!pattern.test(this.#text)) return undefined
    return (this.position = pattern.lastIndex)
  }

  /** Whether this character is next, after spaces. */
  comes(character: string): boolean {
    // most files have no spaces here
    if (this.#text[this.position] !== character) {
      space.lastIndex = this.position
      space.test(this.#text)
      this.position = space.lastIndex
    }
    return this.#text[this.position] === character
  }

  take(character: string): boolean {
    if (!this.comes(character)) return false
    this.position++
    return true
  }

  /** A text by its place, or itself where it is written with escapes. */
  string(): Span | string | undefined {
    if (!this.comes('"')) return undefined
    const start = this.position
    let end = start + 1
    for (let unit; end < this.#text.length && (unit = this.#text.charCodeAt(end)) !== quote; end++)
      if (unit === backslash) return this.#escaped(start)
    if (end === this.#text.length) return undefined
    this.position = end + 1
    return { start: start + 1, end }
  }

  #escaped(start: number): string | undefined {
    let end = this.#text.indexOf('"', start + 1)
    while (end > 0 && isEscaped(this.#text, end)) end = this.#text.indexOf('"', end + 1)
    if (end < 0) return undefined
    const value = parse(this.#text.slice(start, end + 1))
    if (typeof value !== 'string') return undefined
    this.position = end + 1
    return value
  }

  /** A whole number from 0 to 2^31. */
  integer(): number | undefined {
    this.comes('0')
    const start = this.position
    let value = 0
    for (; ; this.position++) {
      const digit = this.#text.charCodeAt(this.position) - 48
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
    }
    const length = this.position - start
    return length > 0 && length < 10 ? value : undefined
  }
}

/** Whether an odd number of backslashes stands before the quote. */
function isEscaped(text: string, quote: number): boolean {
  let count = 0
  while (text[quote - 1 - count] === '\\') count++
  return count % 2 === 1
}
