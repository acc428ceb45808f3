import { SlipwayError } from '@slipway/tensor'
import { GrammarThread } from './grammar-thread.ts'
import type { GrammarSetup } from './protocol.ts'
import type { GrammarSource } from './spec.ts'

interface Check {
  readonly id: number
  readonly source: GrammarSource
  readonly key: string
  readonly settle: (error?: SlipwayError) => void
}

const maxWaiting = 64
const maxKnown = 1024

/**
 * Tries grammars out in a thread that may be lost, so that only those reach an engine that compile within a time and
 * a memory limit.
 */
export class GrammarChecker {
  readonly #thread: GrammarThread
  /** In order; the first is being computed. */
  readonly #waiting: Check[] = []
  /** Sources that have passed, the one used last at the end. */
  readonly #passed = new Set<string>()
  #numChecks = 0

  constructor(setup: GrammarSetup, { limitMs = 800 }: { readonly limitMs?: number } = {}) {
    // what passed is remembered by its text alone
    this.#thread = new GrammarThread({ ...setup, maxGrammars: 1 }, limitMs, {
      onReport: (report) => {
        if (report.type === 'checked') this.#settle(report.error && SlipwayError.fromWire(report.error))
      },
      onRestart: (error) => {
        this.#settle(error)
        for (const { id, source } of this.#waiting) this.#thread.send({ type: 'check', id, source })
      },
      onFailure: (error) => {
        while (this.#waiting.length > 0) this.#settle(error)
      },
    })
  }

  /** Rejects with `request` if the grammar cannot be used, with `overload` if too many wait to be tried. */
  async check(source: GrammarSource): Promise<void> {
    const key = JSON.stringify(source)
    if (this.#passed.delete(key)) {
      this.#passed.add(key)
      return
    }
    if (this.#waiting.length >= maxWaiting)
      throw new SlipwayError('overload', `${this.#waiting.length} grammars wait to be compiled; try again later`)
    await new Promise<void>((resolve, reject) => {
      const id = this.#numChecks++
      this.#waiting.push({ id, source, key, settle: (error) => (error ? reject(error) : resolve()) })
      this.#thread.send({ type: 'check', id, source })
    })
  }

  async close(): Promise<void> {
    await this.#thread.close()
    while (this.#waiting.length > 0) this.#settle(new SlipwayError('internal', 'the engine is closed'))
  }

  #settle(error?: SlipwayError): void {
    const check = this.#waiting.shift()
    if (!check) return
    if (!error) {
      this.#passed.add(check.key)
      for (const key of this.#passed) if (this.#passed.size > maxKnown) this.#passed.delete(key)
    }
    check.settle(error)
  }
}
