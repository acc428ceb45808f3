import { fromNumbers, type DType } from '../dtype.ts'
import type { HostTensor, WeightRole } from '../op.ts'

/** Seeded values for op cases (mulberry32); never used for sampling. */
export class CaseRandom {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  /** Roughly normal values (sum of uniforms). */
  normal(shape: readonly number[], dtype: DType = 'f32', scale = 1, role?: WeightRole): HostTensor {
    const values = this.#values(shape, () => (this.next() + this.next() + this.next() + this.next() - 2) * 1.73 * scale)
    return { shape, dtype, data: fromNumbers(dtype, values), ...(role && { role }) }
  }

  /** Integers in [0, end). */
  integers(shape: readonly number[], end: number, dtype: DType = 'i32', role?: WeightRole): HostTensor {
    const low = dtype === 'i8' ? -127 : 0
    const values = this.#values(shape, () => low + Math.floor(this.next() * (end - low)))
    return { shape, dtype, data: fromNumbers(dtype, values), ...(role && { role }) }
  }

  #values(shape: readonly number[], make: () => number): Float64Array {
    return Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, make)
  }
}

export function given(values: readonly number[], shape: readonly number[], dtype: DType): HostTensor {
  return { shape, dtype, data: fromNumbers(dtype, values) }
}

/** Normal numbers rounded to sixteenths, so that ties are frequent. */
export function quantised(random: CaseRandom, length: number): Float32Array {
  return Float32Array.from(random.normal([length], 'f32', 3).data, (x) => Math.round(x * 16) / 16)
}
