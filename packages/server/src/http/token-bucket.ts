/** An allowance that fills up again evenly: `perMinute` units a minute, and never more than that at once. */
export class TokenBucket {
  readonly perMinute: number
  readonly #clock: () => number
  #level: number
  #at: number

  /** `clock` counts milliseconds. */
  constructor(perMinute: number, clock: () => number) {
    this.perMinute = perMinute
    this.#clock = clock
    this.#level = perMinute
    this.#at = clock()
  }

  /** Units left; below zero when more was used than there was. */
  get level(): number {
    const now = this.#clock()
    this.#level = Math.min(this.perMinute, this.#level + ((now - this.#at) / 60_000) * this.perMinute)
    this.#at = now
    return this.#level
  }

  use(units: number): void {
    this.#level = this.level - units
  }

  /** Seconds until so many units are there. */
  secondsUntil(units: number): number {
    return Math.max(0, ((units - this.level) / this.perMinute) * 60)
  }
}
