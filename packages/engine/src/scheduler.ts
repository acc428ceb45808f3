import type { BlockPool } from './block-pool.ts'
import type { Sequence } from './sequence.ts'

export interface SchedulerLimits {
  readonly maxNumSeqs: number
  readonly maxNumBatchedTokens: number
}

/** `numTokens` pending tokens of a sequence, to be run in this step. */
export interface Chunk {
  readonly sequence: Sequence
  readonly numTokens: number
}

/**
 * Decides what each step computes. Sequences that decode come first, so that a long prompt cannot stall them; prompts
 * fill the rest of the token budget in chunks, in order of arrival. When blocks run out, the youngest running sequence
 * gives its blocks back and is computed again later (preemption by recompute), which changes no bit of its answer.
 * The pool holds at least one sequence of full length, so the oldest one always gets on.
 */
export class Scheduler {
  readonly waiting: Sequence[] = []
  /** In order of admission: the last one is preempted first. */
  readonly running: Sequence[] = []
  readonly #pool: BlockPool
  readonly #limits: SchedulerLimits
  numPreemptions = 0

  constructor(pool: BlockPool, limits: SchedulerLimits) {
    this.#pool = pool
    this.#limits = limits
  }

  add(sequence: Sequence): void {
    this.waiting.push(sequence)
  }

  schedule(): Chunk[] {
    const chunks = new Map<Sequence, number>()
    let budget = this.#limits.maxNumBatchedTokens
    const decodesFirst = [...this.running].sort((a, b) => Number(a.numPending > 1) - Number(b.numPending > 1))
    for (const sequence of decodesFirst) {
      const numTokens = Math.min(sequence.numPending, budget)
      if (numTokens === 0 || !this.running.includes(sequence)) continue
      if (!this.#reserve(sequence, numTokens, chunks)) continue
      chunks.set(sequence, numTokens)
      budget -= numTokens
    }
    while (budget > 0 && this.running.length < this.#limits.maxNumSeqs) {
      const sequence = this.waiting[0]
      // room for all it has so far: a prompt is not admitted only to be preempted in its middle
      if (!sequence || this.#pool.blocksFor(sequence.tokens.length) > this.#pool.numFree) break
      this.waiting.shift()
      this.running.push(sequence)
      const numTokens = Math.min(sequence.numPending, budget)
      this.#pool.grow(sequence.blocks, this.#pool.blocksFor(numTokens))
      chunks.set(sequence, numTokens)
      budget -= numTokens
    }
    return Array.from(chunks, ([sequence, numTokens]) => ({ sequence, numTokens }))
  }

  /** Gets the blocks for `numTokens` more, preempting from the young end; false if the sequence itself had to go. */
  #reserve(sequence: Sequence, numTokens: number, chunks: Map<Sequence, number>): boolean {
    const count = this.#pool.blocksFor(sequence.numComputed + numTokens)
    while (count - sequence.blocks.length > this.#pool.numFree) {
      const victim = this.running.at(-1)!
      this.#preempt(victim)
      chunks.delete(victim)
      if (victim === sequence) return false
    }
    this.#pool.grow(sequence.blocks, count)
    return true
  }

  #preempt(victim: Sequence): void {
    this.running.splice(this.running.indexOf(victim), 1)
    this.#pool.release(victim.blocks)
    victim.numComputed = 0
    this.waiting.unshift(victim)
    this.numPreemptions++
  }

  /** Takes a sequence out, wherever it is, and frees its blocks. */
  remove(sequence: Sequence): void {
    for (const list of [this.running, this.waiting]) {
      const i = list.indexOf(sequence)
      if (i >= 0) list.splice(i, 1)
    }
    this.#pool.release(sequence.blocks)
  }
}
