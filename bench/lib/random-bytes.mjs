// @ts-check
/** The same numbers at every run (Lehmer's generator): 0 <= x < 1. @param {number} seed */
export function random(seed) {
  let state = (seed * 2654435761 + 12345) % 2147483647 || 1
  return () => {
    state = (state * 48271) % 2147483647
    return state / 2147483647
  }
}

/**
 * Random blocks, repeated without end: what a file of many gigabytes is filled with at the speed of the disk. The number
 * of blocks in the pattern is prime, so that the rows of a matrix differ.
 */
export class Pattern {
  /**
   * @param {number} blockBytes
   * @param {(block: Uint8Array, next: () => number) => void} fill
   * @param {number} [numBlocks]
   */
  constructor(blockBytes, fill, numBlocks = 65521) {
    this.#blockBytes = blockBytes
    this.#bytes = new Uint8Array(numBlocks * blockBytes)
    const next = random(1)
    for (let at = 0; at < this.#bytes.length; at += blockBytes) fill(this.#bytes.subarray(at, at + blockBytes), next)
  }

  #blockBytes
  #bytes

  /** Fills `target` from block number `start` on. @param {Uint8Array} target @param {number} start */
  writeTo(target, start = 0) {
    let from = (start * this.#blockBytes) % this.#bytes.length
    for (let at = 0; at < target.length;) {
      const part = this.#bytes.subarray(from, from + target.length - at)
      target.set(part, at)
      at += part.length
      from = 0
    }
  }
}

/** Two numbers of a normal distribution (Box and Muller). @param {() => number} next */
export function normalPair(next) {
  const radius = Math.sqrt(-2 * Math.log(next() || Number.MIN_VALUE))
  const angle = 2 * Math.PI * next()
  return /** @type {const} */ ([radius * Math.cos(angle), radius * Math.sin(angle)])
}

const f32 = new Float32Array(1)
const u32 = new Uint32Array(f32.buffer)

/** @param {number} value */
export function bf16Bits(value) {
  f32[0] = value
  return u32[0] >>> 16
}

/** For finite values within the normal and subnormal range, cut off below. @param {number} value */
export function f16Bits(value) {
  f32[0] = value
  const sign = (u32[0] >>> 16) & 0x8000
  const exponent = ((u32[0] >>> 23) & 0xff) - 112
  if (exponent > 0) return sign | (exponent << 10) | ((u32[0] >>> 13) & 0x3ff)
  return sign | (((u32[0] & 0x7fffff) | 0x800000) >>> Math.min(31, 14 - exponent))
}
