import type { ReasoningFormat } from './reasoning-format.ts'
import { ReasoningParser } from './reasoning-parser.ts'

/**
 * Counts the tokens of the reasoning, tags excluded, by the text of each token. A token that reaches into the reasoning
 * counts, and so does one without a text of its own, such as the first bytes of a character.
 */
export class ReasoningCounter {
  readonly #parser: ReasoningParser
  /** Where each token ends. A token is judged when all is read, for a tag shows only at its last letter. */
  readonly #ends: number[] = []

  constructor(format: ReasoningFormat, promptEndsInThinking?: boolean) {
    this.#parser = new ReasoningParser(format, promptEndsInThinking)
  }

  /** Text that one token adds, which may be empty. */
  push(text: string): void {
    this.#parser.push(text)
    this.#ends.push(this.#parser.numRead)
  }

  get numTokens(): number {
    const { ranges } = this.#parser
    let count = 0
    let begin = 0
    let at = 0
    for (const end of this.#ends) {
      while (at < ranges.length && (ranges[at]!.to <= begin || ranges[at]!.to === ranges[at]!.from)) at++
      const from = ranges[at]?.from ?? Infinity
      if (end > from || (begin === end && begin >= from)) count++
      begin = end
    }
    return count
  }
}
