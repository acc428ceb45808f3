import type { Sequence } from './sequence.ts'
import type { StepCost, StepWork } from './step-cost.ts'

/** `numTokens` pending tokens of a sequence, to be run in this step. */
export interface Chunk {
  readonly sequence: Sequence
  readonly numTokens: number
}

/** How much longer than its decodes alone a step may take when nothing is said: twice, less a margin for error. */
const decodeStretch = 1.8

/** And how much longer at most, for the sake of prompts: twice, or so many milliseconds, which nobody notices. */
const mostStretch = 2
const unnoticedMs = 25

/** A probe takes so many times what fits, and so many tokens more: enough to tell, and hardly felt by those who wait. */
const probeStretch = 1.25
const probeTokens = 4

/** One token is left to run, and it is not a prompt's first; or that and those behind it that could be no others. */
export function isDecoding({ numPending, numForced, numComputed }: Sequence): boolean {
  return numPending <= 1 + numForced && numComputed > 0
}

/** Keys that `count` rows visit, the first one at position `start`. */
function contextOf(start: number, count: number): number {
  return count * start + (count * (count + 1)) / 2
}

export interface PlanSettings {
  readonly maxTokens: number
  readonly cost: StepCost
  readonly budgetMs: number | undefined
  readonly isProbing?: boolean
}

/** A step in the making: its chunks and how much more fits into it. */
export class StepPlan {
  readonly #chunks = new Map<Sequence, number>()
  readonly #cost: StepCost
  readonly #budgetMs: number | undefined
  readonly #isProbing: boolean
  readonly #passed = new Set<Sequence>()
  #work: StepWork = { prefillTokens: 0, decodes: 0, context: 0 }
  #decodeContext = 0
  #tokensLeft: number

  /** A probing step takes more prompt than estimates allow, so that one that is too high shows. */
  constructor({ maxTokens, cost, budgetMs, isProbing = false }: PlanSettings) {
    this.#tokensLeft = maxTokens
    this.#cost = cost
    this.#budgetMs = budgetMs
    this.#isProbing = isProbing
  }

  get chunks(): Chunk[] {
    return Array.from(this.#chunks, ([sequence, numTokens]) => ({ sequence, numTokens }))
  }

  get numTokensLeft(): number {
    return this.#tokensLeft
  }

  get work(): StepWork {
    return this.#work
  }

  has(sequence: Sequence): boolean {
    return this.#chunks.has(sequence)
  }

  /** Tokens of a sequence that are planned. */
  tokensOf(sequence: Sequence): number {
    return this.#chunks.get(sequence) ?? 0
  }

  add(sequence: Sequence, numTokens: number): void {
    this.#chunks.set(sequence, numTokens)
    this.#count(sequence, numTokens, 1)
  }

  /** Takes a sequence out and tells how many tokens it had. */
  remove(sequence: Sequence): number {
    const numTokens = this.#chunks.get(sequence)
    if (numTokens === undefined) return 0
    this.#chunks.delete(sequence)
    this.#count(sequence, numTokens, -1)
    return numTokens
  }

  #count(sequence: Sequence, numTokens: number, sign: 1 | -1): void {
    const { prefillTokens, decodes, context } = this.#work
    const keys = sign * contextOf(sequence.numComputed, numTokens)
    this.#tokensLeft -= sign * numTokens
    this.#work = isDecoding(sequence)
      ? { prefillTokens, decodes: decodes + sign * numTokens, context: context + keys }
      : { prefillTokens: prefillTokens + sign * numTokens, decodes, context: context + keys }
    if (isDecoding(sequence)) this.#decodeContext += keys
  }

  /** A waiting sequence gets nothing more in this step. */
  pass(sequence: Sequence): void {
    this.#passed.add(sequence)
  }

  hasPassed(sequence: Sequence): boolean {
    return this.#passed.has(sequence)
  }

  get numPassed(): number {
    return this.#passed.size
  }

  /**
   * How many of a prompt's `pending` tokens fit beside what is planned, the first at position `start`; 0 when the step
   * is full. Only decodes make time count: without them nobody waits for a step to end.
   */
  room(start: number, pending: number): number {
    const most = Math.min(pending, this.#tokensLeft)
    const { prefillTokens, decodes, context } = this.#work
    if (most === 0 || decodes === 0) return most
    const alone = this.#cost.estimate({ prefillTokens: 0, decodes, context: this.#decodeContext })
    // rows of prompts should get at least as much time as their coming along costs by itself
    const wanted = Math.min(alone + 2 * this.#cost.promptOverhead, Math.max(mostStretch * alone, unnoticedMs))
    const limit = this.#budgetMs ?? Math.max(decodeStretch * alone, wanted)
    const fits = (count: number): boolean =>
      prefillTokens + count <= this.#cost.maxPrefill &&
      this.#cost.estimate({
        decodes,
        prefillTokens: prefillTokens + count,
        context: context + contextOf(start, count),
      }) <= limit
    let low = 0
    for (let high = most; low < high;) {
      const middle = Math.ceil((low + high) / 2)
      if (fits(middle)) low = middle
      else high = middle - 1
    }
    if (prefillTokens > 0) return low
    // prompts must get on, be it by one token
    return this.#isProbing ? Math.min(most, Math.ceil(probeStretch * low) + probeTokens) : Math.max(1, low)
  }
}

/** The row of a token that could not be drawn, for want of a mask, is run again when it can. */
export function withoutUnsampled(
  chunks: readonly Chunk[],
  sampled: readonly { readonly sequence: Sequence }[],
): Chunk[] {
  const withToken = new Set(sampled.map(({ sequence }) => sequence))
  return chunks.map(({ sequence, numTokens }) => {
    const isWithout = numTokens === sequence.numPending && !withToken.has(sequence)
    return { sequence, numTokens: isWithout ? numTokens - 1 : numTokens }
  })
}
