/**
 * Looks for stop strings in text that arrives in pieces. Text is given out as soon as it cannot be the beginning of a
 * stop string any more.
 */
export class StopStrings {
  readonly #stops: readonly string[]
  readonly #includesStop: boolean
  #held = ''

  constructor(stops: readonly string[], includesStop: boolean) {
    this.#stops = stops
    this.#includesStop = includesStop
  }

  /** Text that may be shown now, and the stop string that ended it, if one did: the earliest, of equals the longest. */
  push(piece: string): { text: string; stop: string | undefined } {
    const text = this.#held + piece
    let found: { at: number; stop: string } | undefined
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      const isBetter = !found || at < found.at || (at === found.at && stop.length > found.stop.length)
      if (at >= 0 && isBetter) found = { at, stop }
    }
    if (found) {
      this.#held = ''
      const end = found.at + (this.#includesStop ? found.stop.length : 0)
      return { text: text.slice(0, end), stop: found.stop }
    }
    const keep = this.#possibleStart(text)
    this.#held = text.slice(text.length - keep)
    return { text: text.slice(0, text.length - keep), stop: undefined }
  }

  /** What was held back, when no more text comes. */
  flush(): string {
    const text = this.#held
    this.#held = ''
    return text
  }

  /** Length of the longest end of `text` that begins a stop string. */
  #possibleStart(text: string): number {
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1))
    for (let length = Math.min(longest, text.length); length > 0; length--) {
      const end = text.slice(text.length - length)
      if (this.#stops.some((stop) => stop.startsWith(end))) return length
    }
    return 0
  }
}
