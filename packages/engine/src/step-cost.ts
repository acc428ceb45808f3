/** What a step computes, as far as its time depends on it. */
export interface StepWork {
  /** Rows of prompts. */
  readonly prefillTokens: number
  /** Rows of sequences that decode. */
  readonly decodes: number
  /** Keys visited by attention: the sum of the positions of all rows, counted from 1. */
  readonly context: number
}

/** How fast the past fades: a step counts half after 34 others. */
const decay = 0.98

/** Weight of what was believed before against what the steps say; only where they say nothing does it decide. */
const inertia = 1e-4

/** A step that takes this many times what was expected tells more of the machine than of the model. */
const outlier = 4

/** Steps after which what they say is worked in, if nobody has asked meanwhile. */
const patience = 16

/** Usual sizes of the features: where steps do not tell them apart, the cost goes to those that are large for theirs. */
const scales: readonly number[] = [1, 4, 16, 8, 8]

function features({ prefillTokens, decodes, context }: StepWork): number[] {
  return [1, prefillTokens > 0 ? 1 : 0, prefillTokens, decodes, context / 1024]
}

/**
 * Estimates milliseconds of a step: a constant, one more when prompts take part (such steps are recorded anew), and
 * shares for rows of prompts, decodes and visited keys, none of them negative. Least squares of the relative error over
 * the steps so far, the recent ones most. What recent steps do not tell apart stays as it was.
 */
export class StepCost {
  #weights: readonly number[] = scales.map(() => 0)
  readonly #gram = scales.map(() => scales.map(() => 0))
  readonly #moments = scales.map(() => 0)
  #numObserved = 0
  #isWarm = false
  /** Observations that the weights do not know of, and milliseconds of the last. */
  #numUnsolved = 0
  #lastTime = 1
  /** Rows of prompts in the largest step so far. */
  #mostPrefill = 0

  /** Expected milliseconds. */
  estimate(work: StepWork): number {
    this.#solve()
    return dot(this.#weights, features(work))
  }

  /** Milliseconds that a step takes longer because prompts take part, without their rows. */
  get promptOverhead(): number {
    this.#solve()
    return this.#weights[1]!
  }

  /** Rows of prompts up to which estimates can be believed: not far beyond what was seen. */
  get maxPrefill(): number {
    return Math.max(32, 2 * this.#mostPrefill)
  }

  /** Learns from a step. */
  observe(work: StepWork, milliseconds: number): void {
    if (!this.#isWarm) {
      // the first step of all meets new memory and code that is not compiled: it would make prompts look dear for long
      this.#isWarm = true
      this.#mostPrefill = work.prefillTokens
      return
    }
    const expected = dot(this.#weights, features(work))
    const time = Math.max(1e-3, this.#numObserved++ < 8 ? milliseconds : Math.min(milliseconds, outlier * expected))
    this.#mostPrefill = Math.max(this.#mostPrefill, work.prefillTokens)
    const x = features(work).map((value) => value / time)
    for (const [i, row] of this.#gram.entries()) {
      for (let j = 0; j < row.length; j++) row[j] = decay * row[j]! + x[i]! * x[j]!
      this.#moments[i] = decay * this.#moments[i]! + x[i]!
    }
    this.#lastTime = time
    // who decodes alone needs no estimate
    if (++this.#numUnsolved >= patience || this.#numObserved <= patience) this.#solve()
  }

  /** Weights of the least error; those that come out negative are 0. */
  #solve(): void {
    if (this.#numUnsolved === 0) return
    this.#numUnsolved = 0
    const trust = scales.map((scale) => inertia * (scale / this.#lastTime) ** 2)
    const open = new Set(scales.keys())
    for (;;) {
      const indices = [...open]
      const matrix = indices.map((i) => indices.map((j) => this.#gram[i]![j]! + (i === j ? trust[i]! : 0)))
      const solution = solve(
        matrix,
        indices.map((i) => this.#moments[i]! + trust[i]! * this.#weights[i]!),
      )
      const worst = indices.reduce((low, _, k) => (solution[k]! < solution[low]! ? k : low), 0)
      if (open.size > 1 && solution[worst]! < 0) open.delete(indices[worst]!)
      else {
        this.#weights = scales.map((_, i) => (open.has(i) ? Math.max(0, solution[indices.indexOf(i)]!) : 0))
        return
      }
    }
  }
}

function dot(a: readonly number[], b: readonly number[]): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0)
}

/** Solves a symmetric positive definite system by elimination; the inputs are used up. */
function solve(matrix: number[][], right: number[]): number[] {
  for (const [k, pivot] of matrix.entries())
    for (let i = k + 1; i < matrix.length; i++) {
      const factor = matrix[i]![k]! / pivot[k]!
      for (let j = k; j < matrix.length; j++) matrix[i]![j]! -= factor * pivot[j]!
      right[i]! -= factor * right[k]!
    }
  for (let k = matrix.length - 1; k >= 0; k--) {
    for (let j = k + 1; j < matrix.length; j++) right[k]! -= matrix[k]![j]! * right[j]!
    right[k]! /= matrix[k]![k]!
  }
  return right
}
