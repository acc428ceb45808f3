/** Places for requests under way; who waits gets one in the order of asking. */
export class Slots {
  #numFree: number
  readonly #waiting: (() => void)[] = []

  constructor(size: number) {
    this.#numFree = size
  }

  /** Resolves to what gives the place back; call it once. */
  async take(): Promise<() => void> {
    if (this.#numFree > 0) this.#numFree--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    return () => {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#numFree++
    }
  }
}
