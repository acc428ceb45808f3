import type { LineAnswer } from './run-batch.ts'
import type { Survey } from './survey.ts'

/** What has become of a batch so far. */
export class Tally {
  readonly numLines: number
  numDone: number
  numFailed: number
  wasInterrupted = false
  readonly #numKept: number
  #promptTokens = 0
  #newTokens = 0
  #start = performance.now()

  constructor({ open, numLines, numFailed }: Survey) {
    this.numLines = numLines
    this.numDone = this.#numKept = numLines - open.size
    this.numFailed = numFailed
  }

  /** Time counts from here on, once the model is loaded. */
  begin(): void {
    this.#start = performance.now()
  }

  add({ hasFailed, promptTokens, newTokens }: LineAnswer): void {
    this.numDone++
    if (hasFailed) this.numFailed++
    this.#promptTokens += promptTokens
    this.#newTokens += newTokens
  }

  get tokensPerSecond(): number {
    return this.#newTokens / this.#seconds
  }

  get #seconds(): number {
    return (performance.now() - this.#start) / 1000
  }

  /** 0 when every line has an answer, 2 when some have an error instead, 130 after Ctrl-C. */
  get exitCode(): number {
    if (this.wasInterrupted) return 130
    return this.numFailed > 0 ? 2 : 0
  }

  summary(): string {
    const { numLines, numDone, numFailed } = this
    const kept = this.#numKept > 0 ? `, ${this.#numKept} by an earlier run` : ''
    const tokens = `${this.#promptTokens} prompt and ${this.#newTokens} new tokens`
    return [
      `${numDone} of ${numLines} lines answered${kept}; ${numFailed} failed`,
      ...(numDone === this.#numKept ? [] : [`${tokens} in ${this.#seconds.toFixed(1)} s`]),
      ...(this.wasInterrupted ? ['interrupted; the same command goes on from here'] : []),
    ].join('\n')
  }
}
