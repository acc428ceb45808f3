/** A text within another: where it begins, and behind its end. */
export interface Span {
  readonly start: number
  readonly end: number
}

/**
 * Texts that stand in a larger one, each numbered in the order of `add`, found again without a string of their own:
 * 300,000 entries of tokenizer.json as strings in a Map take longer to make than all the rest of a start. A key is one
 * span, or two with a space between them. An open hash table; it grows with its entries.
 */
export class TextTable {
  readonly #text: string
  /** Start and end of both spans of each entry; the second starts at -1 where there is but one. */
  #spans: Int32Array
  #hashes: Int32Array
  /** Entry and one, 0 for none; at most half is taken. */
  #slots: Int32Array
  #size = 0

  /** `expected` entries, or more. */
  constructor(text: string, expected = 0) {
    this.#text = text
    const room = 2 ** Math.ceil(Math.log2(Math.max(64, expected)))
    this.#spans = new Int32Array(4 * room)
    this.#hashes = new Int32Array(room)
    this.#slots = new Int32Array(2 * room)
  }

  get size(): number {
    return this.#size
  }

  /** False, and nothing is added, when the key is there already. */
  add(first: Span, second?: Span): boolean {
    const text = this.#text
    let hash = hashOf(text, first.start, first.end, seed)
    if (second) hash = hashOf(text, second.start, second.end, step(hash, space))
    const mask = this.#slots.length - 1
    let slot = mix(hash) & mask
    for (let entry; (entry = this.#slots[slot]! - 1) >= 0; slot = (slot + 1) & mask) {
      if (this.#hashes[entry] !== hash) continue
      const other = this.keyAt(entry)
      const own = text.slice(first.start, first.end)
      if (other === (second ? `${own} ${text.slice(second.start, second.end)}` : own)) return false
    }
    if (this.#size === this.#hashes.length) return (this.#grow(), this.add(first, second))
    const entry = this.#size++
    const at = 4 * entry
    this.#slots[slot] = entry + 1
    this.#hashes[entry] = hash
    this.#spans[at] = first.start
    this.#spans[at + 1] = first.end
    this.#spans[at + 2] = second ? second.start : -1
    this.#spans[at + 3] = second ? second.end : -1
    return true
  }

  /** The number of a key, or of two parts with a space between them; undefined where there is none. */
  find(key: string): number | undefined {
    const hash = hashOf(key, 0, key.length, seed)
    const mask = this.#slots.length - 1
    for (let slot = mix(hash) & mask, entry; (entry = this.#slots[slot]! - 1) >= 0; slot = (slot + 1) & mask)
      if (this.#hashes[entry] === hash && this.keyAt(entry) === key) return entry
    return undefined
  }

  keyAt(entry: number): string {
    const at = 4 * entry
    const first = this.#text.slice(this.#spans[at], this.#spans[at + 1])
    const start = this.#spans[at + 2]!
    return start < 0 ? first : `${first} ${this.#text.slice(start, this.#spans[at + 3])}`
  }

  #grow(): void {
    const room = 2 * this.#hashes.length
    const [spans, hashes] = [new Int32Array(4 * room), new Int32Array(room)]
    spans.set(this.#spans)
    hashes.set(this.#hashes)
    this.#spans = spans
    this.#hashes = hashes
    this.#slots = new Int32Array(2 * room)
    const mask = 2 * room - 1
    for (let entry = 0; entry < this.#size; entry++) {
      let slot = mix(hashes[entry]!) & mask
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask
      this.#slots[slot] = entry + 1
    }
  }
}

const space = 0x20
/** FNV-1a over UTF-16 units. */
const seed = 0x811c9dc5 | 0
const step = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193)

function hashOf(text: string, start: number, end: number, from: number): number {
  let hash = from
  for (let i = start; i < end; i++) hash = step(hash, text.charCodeAt(i))
  return hash
}

/** Brings the high bits down, which the low ones of FNV know little of. */
function mix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return mixed ^ (mixed >>> 13)
}
