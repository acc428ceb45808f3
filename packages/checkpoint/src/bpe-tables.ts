import { isObject, type JsonObject } from './json-file.ts'
import { emptyHash, hashWith, TextTable } from './text-table.ts'

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
  if (!scanner.comes(closingBrace))
    do {
      const token = scanner.string(emptyHash)
      const { hash, start, end } = scanner
      if (token === undefined || !scanner.take(colon)) return undefined
      const id = scanner.integer()
      if (id < 0) return undefined
      if (id > largest) largest = id
      if (token !== inPlace) others.set(token, id)
      else if (table.add(hash, start, end)) ids.push(id)
      else return undefined
    } while (scanner.take(comma))
  // a list full of holes is not worth it
  if (!scanner.comes(closingBrace) || largest > 4 * (table.size + others.size) + 1000) return undefined
  for (const token of others.keys()) if (table.find(token) !== undefined) return undefined
  return new Vocabulary(table, Int32Array.from(ids), others, largest + 1)
}

/** Merges are texts "a b", or pairs in newer files. */
function readMerges(scanner: Scanner, text: string): MergeRanks | undefined {
  const table = new TextTable(text, text.length / entryLength)
  const ranks: number[] = []
  const others = new Map<string, number>()
  let rank = 0
  if (!scanner.comes(closingBracket))
    do {
      let isNew = true
      if (scanner.take(openingBracket)) {
        const first = scanner.string(emptyHash)
        const { start, end, numSpaces } = scanner
        if (first === undefined || !scanner.take(comma)) return undefined
        const second = scanner.string(hashWith(scanner.hash, space))
        if (second === undefined || !scanner.take(closingBracket)) return undefined
        if (first === inPlace && second === inPlace) {
          // a space within a part would be for the library to judge
          if (numSpaces > 0 || scanner.numSpaces > 0 || start === end) return undefined
          isNew = table.add(scanner.hash, start, end, scanner.start, scanner.end)
        } else {
          const one = first === inPlace ? text.slice(start, end) : first
          const two = second === inPlace ? text.slice(scanner.start, scanner.end) : second
          if (one.includes(' ') || two.includes(' ') || one === '') return undefined
          others.set(`${one} ${two}`, rank)
        }
      } else {
        const pair = scanner.string(emptyHash)
        if (pair === undefined) return undefined
        if (pair !== inPlace) {
          if (pair.indexOf(' ') < 1 || pair.indexOf(' ') !== pair.lastIndexOf(' ')) return undefined
          others.set(pair, rank)
        } else {
          if (scanner.numSpaces !== 1 || text.charCodeAt(scanner.start) === space) return undefined
          isNew = table.add(scanner.hash, scanner.start, scanner.end)
        }
      }
      if (!isNew) return undefined
      if (table.size > ranks.length) ranks.push(rank)
      rank++
    } while (scanner.take(comma))
  if (!scanner.comes(closingBracket)) return undefined
  for (const pair of others.keys()) if (table.find(pair) !== undefined) return undefined
  return new MergeRanks(table, Int32Array.from(ranks), others)
}

const spaces = /\s*/y
const [quote, backslash, space, comma, colon] = [0x22, 0x5c, 0x20, 0x2c, 0x3a]
const [openingBracket, closingBracket, closingBrace] = [0x5b, 0x5d, 0x7d]
/** Stands for a text that the file has as it is, so that nobody makes a string of it. */
const inPlace = Symbol('in place')

/** A position in JSON text. Methods give undefined, false or -1, and stay, where something else is found. */
class Scanner {
  readonly #text: string
  /** The same: an array is read faster than a string. */
  readonly #units: Uint16Array
  position = 0
  /** Of the last `string` that was in place: where it begins, behind its end, its hash, and how many spaces it has. */
  start = 0
  end = 0
  hash = 0
  numSpaces = 0

  constructor(text: string) {
    this.#text = text
    const { buffer, byteOffset } = Buffer.from(text, 'utf16le')
    this.#units = new Uint16Array(buffer, byteOffset, text.length)
  }

  /** Goes behind `"name": {` or `[`, wherever that is next; a quote within a string would have a backslash before it. */
  table(name: string, bracket: '{' | '['): number | undefined {
    const pattern = new RegExp(`(?<!\\\\)"${name}"\\s*:\\s*\\${bracket}`, 'g')
    pattern.lastIndex = this.position
    if (!pattern.test(this.#text)) return undefined
    return (this.position = pattern.lastIndex)
  }

  /** Whether this character is next, after spaces. */
  comes(character: number): boolean {
    // most files have no spaces here
    if (this.#units[this.position] !== character) {
      spaces.lastIndex = this.position
      spaces.test(this.#text)
      this.position = spaces.lastIndex
    }
    return this.#units[this.position] === character
  }

  take(character: number): boolean {
    if (!this.comes(character)) return false
    this.position++
    return true
  }

  /** A text that goes on from one of this hash; itself where it is written with escapes. */
  string(from: number): typeof inPlace | string | undefined {
    if (!this.comes(quote)) return undefined
    const units = this.#units
    let hash = from
    let numSpaces = 0
    for (let at = this.position + 1; at < units.length; at++) {
      const unit = units[at]!
      if (unit === backslash) return this.#escaped(this.position)
      if (unit === quote) {
        this.start = this.position + 1
        this.end = at
        this.hash = hash
        this.numSpaces = numSpaces
        this.position = at + 1
        return inPlace
      }
      hash = hashWith(hash, unit)
      if (unit === space) numSpaces++
    }
    return undefined
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
  integer(): number {
    this.comes(0x30)
    const start = this.position
    let value = 0
    let at = start
    for (; at < this.#units.length; at++) {
      const digit = this.#units[at]! - 48
      if (!(digit >= 0 && digit <= 9)) break
      value = value * 10 + digit
    }
    this.position = at
    return at > start && at - start < 10 ? value : -1
  }
}

/** Whether an odd number of backslashes stands before the quote. */
function isEscaped(text: string, quote: number): boolean {
  let count = 0
  while (text[quote - 1 - count] === '\\') count++
  return count % 2 === 1
}
