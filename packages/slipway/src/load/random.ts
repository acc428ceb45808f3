/** Numbers that are the same for the same seed (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** From 0 to below 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** Standard normal (Box and Muller, 1958). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }

  /** Gamma distribution of scale 1 (Marsaglia and Tsang, 2000). */
  gamma(shape: number): number {
    if (shape < 1) return this.gamma(shape + 1) * (1 - this.next()) ** (1 / shape)
    const d = shape - 1 / 3
    const c = 1 / Math.sqrt(9 * d)
    for (;;) {
      const x = this.normal()
      const v = (1 + c * x) ** 3
      if (v > 0 && Math.log(1 - this.next()) < 0.5 * x * x + d - d * v + d * Math.log(v)) return d * v
    }
  }
}

/**
 * Times in milliseconds at which requests come: `rate` per second in the mean, the pauses gamma-distributed with shape
 * `burstiness`. 1 is a Poisson process, less comes in bursts, more is steadier. Without a rate all come at once.
 */
export function arrivalTimes(count: number, rate: number | undefined, burstiness: number, random: Random): number[] {
  if (rate === undefined) return Array.from({ length: count }, () => 0)
  let time = 0
  return Array.from({ length: count }, (_, i) => {
    if (i > 0) time += (1000 * random.gamma(burstiness)) / (burstiness * rate)
    return time
  })
}
