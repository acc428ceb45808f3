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

  /**
   * False, and nothing is added, when the key is there already. The key is from `start` to `end`, and, unless `start2` is
   * -1, a space and from `start2` to `end2`; `hash` is its hash, which whoever looked for its end has made meanwhile.
   */
  add(hash: number, start: number, end: number, start2 = -1, end2 = -1): boolean {
    if (this.#size === this.#hashes.length) this.#grow()
    const [slots, hashes] = [this.#slots, this.#hashes]
    const mask = slots.length - 1
    let slot = mix(hash) & mask
    for (let entry; (entry = slots[slot]! - 1) >= 0; slot = (slot + 1) & mask)
      if (hashes[entry] === hash && this.keyAt(entry) === this.#key(start, end, start2, end2)) return false
    const entry = this.#size++
    const at = 4 * entry
    const spans = this.#spans
    slots[slot] = entry + 1
    hashes[entry] = hash
    spans[at] = start
    spans[at + 1] = end
    spans[at + 2] = start2
    spans[at + 3] = end2
    return true
  }

  /** The number of a key, or of two parts with a space between them; undefined where there is none. */
  find(key: string): number | undefined {
    let hash = emptyHash
    for (let i = 0; i < key.length; i++) hash = hashWith(hash, key.charCodeAt(i))
    const mask = this.#slots.length - 1
    for (let slot = mix(hash) & mask, entry; (entry = this.#slots[slot]! - 1) >= 0; slot = (slot + 1) & mask)
      if (this.#hashes[entry] === hash && this.keyAt(entry) === key) return entry
    return undefined
  }

  keyAt(entry: number): string {
    const [start, end, start2, end2] = this.#spans.subarray(4 * entry, 4 * entry + 4)
    return this.#key(start!, end!, start2!, end2!)
  }

  #key(start: number, end: number, start2: number, end2: number): string {
    const first = this.#text.slice(start, end)
    return start2 < 0 ? first : `${first} ${this.#text.slice(start2, end2)}`
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

/** The hash of no text, and that of a text with one UTF-16 unit more: FNV-1a. */
export const emptyHash = 0x811c9dc5 | 0
export const hashWith = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193)

/** Brings the high bits down, which the low ones of FNV know little of. */
function mix(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return mixed ^ (mixed >>> 13)
}
