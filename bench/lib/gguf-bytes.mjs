// @ts-check
/** @typedef {'u32' | 'f32' | 'bool' | 'string' | 'strings' | 'i32s'} MetadataType */

/** Numbers in little-endian order, texts with their length in front. */
export class Bytes {
  /** @type {Buffer[]} */
  #parts = []

  all() {
    return Buffer.concat(this.#parts)
  }

  /** @param {number} bytes @param {(buffer: Buffer) => void} write */
  #add(bytes, write) {
    const buffer = Buffer.alloc(bytes)
    write(buffer)
    this.#parts.push(buffer)
    return this
  }

  /** @param {number} n */
  u32(n) {
    return this.#add(4, (buffer) => buffer.writeUInt32LE(n))
  }

  /** @param {number} n */
  u64(n) {
    return this.#add(8, (buffer) => buffer.writeBigUInt64LE(BigInt(n)))
  }

  /** @param {string} text */
  text(text, withLength = true) {
    if (withLength) this.u64(Buffer.byteLength(text))
    this.#parts.push(Buffer.from(text))
    return this
  }

  /** A typed value of the metadata. @param {MetadataType} type @param {any} value */
  value(type, value) {
    switch (type) {
      case 'u32':
        return this.u32(4).u32(value)
      case 'f32':
        return this.u32(6).#add(4, (buffer) => buffer.writeFloatLE(value))
      case 'bool':
        return this.u32(7).#add(1, (buffer) => buffer.writeUInt8(value ? 1 : 0))
      case 'string':
        return this.u32(8).text(value)
      case 'strings':
        this.u32(9).u32(8).u64(value.length)
        for (const text of value) this.text(text)
        return this
      case 'i32s':
        this.u32(9).u32(5).u64(value.length)
        for (const n of value) this.u32(n)
        return this
    }
  }
}
