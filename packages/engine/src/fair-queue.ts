import type { Sequence } from './sequence.ts'

/** What one user has had and has asked for. */
interface Share {
  /** Tokens computed, on a clock that all users have in common. */
  service: number
  /** Sequences in the engine, waiting or running. */
  numSequences: number
  /** In order of `ranks`. */
  readonly waiting: Sequence[]
}

/** Users without sequences that are remembered for what they had. */
const maxIdleShares = 64

/** The order within one user, and of preemption: priority, then arrival. Negative when `a` goes before `b`. */
export function ranks(a: Sequence, b: Sequence): number {
  return a.priority - b.priority || a.arrival - b.arrival
}

/**
 * The sequences that wait, and whose turn it is. Within a priority, users take turns by the tokens computed for them so
 * far, least first (a virtual token counter: Sheng et al., "Fairness in Serving Large Language Models", 2023). One who
 * was away begins where the least served of the present stands: nobody saves up service.
 */
export class FairQueue implements Iterable<Sequence> {
  readonly #shares = new Map<string, Share>()
  #numArrived = 0
  #length = 0
  /** Service of the user who was the last to have nothing left. */
  #lastService = 0

  /** Sequences that wait. */
  get length(): number {
    return this.#length
  }

  /** A sequence has come into the engine. */
  enter(sequence: Sequence): void {
    sequence.arrival = this.#numArrived++
    let share = this.#shares.get(sequence.user)
    if (!share) {
      share = { service: 0, numSequences: 0, waiting: [] }
      this.#shares.set(sequence.user, share)
    }
    if (share.numSequences++ === 0) {
      const others = [...this.#shares.values()].filter((s) => s !== share && s.numSequences > 0)
      const start = others.length > 0 ? Math.min(...others.map(({ service }) => service)) : this.#lastService
      share.service = Math.max(share.service, start)
    }
    this.wait(sequence)
  }

  /** A sequence has left the engine; it must not be waiting any more. */
  leave({ user }: Sequence): void {
    const share = this.#shares.get(user)!
    if (--share.numSequences === 0) this.#lastService = share.service
    if (this.#shares.size <= maxIdleShares) return
    for (const [name, { numSequences }] of this.#shares) if (numSequences === 0) this.#shares.delete(name)
  }

  /** Puts a sequence in its place among those of its user. */
  wait(sequence: Sequence): void {
    const { waiting } = this.#shares.get(sequence.user)!
    const i = waiting.findLastIndex((other) => ranks(other, sequence) < 0)
    waiting.splice(i + 1, 0, sequence)
    this.#length++
  }

  /** Takes a sequence out; false if it does not wait. */
  remove(sequence: Sequence): boolean {
    const { waiting } = this.#shares.get(sequence.user)!
    const i = waiting.indexOf(sequence)
    if (i < 0) return false
    waiting.splice(i, 1)
    this.#length--
    return true
  }

  /** Tells that `tokens` were computed for the sequence's user; negative takes it back. */
  charge({ user }: Sequence, tokens: number): void {
    this.#shares.get(user)!.service += tokens
  }

  /** Whose turn is first: priority, then the service of the users, then arrival. Negative when it is `a`. */
  compare(a: Sequence, b: Sequence): number {
    const service = ({ user }: Sequence): number => this.#shares.get(user)!.service
    return a.priority - b.priority || service(a) - service(b) || a.arrival - b.arrival
  }

  /** The waiting sequence whose turn it is, leaving some out. */
  first(isOut: (sequence: Sequence) => boolean): Sequence | undefined {
    let best: Sequence | undefined
    for (const { waiting } of this.#shares.values()) {
      const own = waiting.find((sequence) => !isOut(sequence))
      if (own && (!best || this.compare(own, best) < 0)) best = own
    }
    return best
  }

  *[Symbol.iterator](): Iterator<Sequence> {
    for (const { waiting } of this.#shares.values()) yield* waiting
  }
}
