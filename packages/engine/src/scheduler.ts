import type { BlockPool } from './block-pool.ts'
import { FairQueue, ranks } from './fair-queue.ts'
import type { KvTier } from './kv-tier.ts'
import type { Sequence } from './sequence.ts'
import { StepCost, type StepWork } from './step-cost.ts'
import { isDecoding, StepPlan, type Chunk } from './step-plan.ts'

export interface SchedulerLimits {
  readonly maxNumSeqs: number
  readonly maxNumBatchedTokens: number
  /** Estimated milliseconds of a step in which sequences decode; undefined: set by what decodes alone take. */
  readonly stepBudgetMs?: number | undefined
  /** Tokens see their whole text, so no text is split; `maxNumBatchedTokens` is as long as any. */
  readonly wholeTexts?: boolean | undefined
}

type Tier = Pick<KvTier, 'isFetching' | 'expect'>

/** Waiting sequences that one step looks at in vain. */
const maxTries = 32

/** Steps from one probe to the next: with what else disturbs, fewer than one of a hundred is longer than it should be. */
const probeInterval = 256

/** So often others get blocks before a sequence that waits for some; then it is first. */
const maxOvertaken = 32

/**
 * Decides what each step computes. Sequences that decode come first; prompts fill the rest of the step, in tokens and
 * estimated time, in the order of the `FairQueue`, whether they run already or are yet to be admitted; only a short one
 * goes before a long one of the same user. One that finds no slot or no blocks takes them from a sequence of a higher
 * priority number, or from a user who runs at least two more (preemption by recompute: no bit of the answer changes, and
 * the prefix cache mostly knows what was computed).
 *
 * Within a priority nobody starves: a running sequence takes blocks only from those that rank behind it, so the first of
 * all always gets on, and the pool holds at least one sequence of full length.
 */
export class Scheduler {
  readonly waiting = new FairQueue()
  /** In order of rank. */
  readonly running: Sequence[] = []
  readonly #pool: BlockPool
  readonly #limits: SchedulerLimits
  readonly #cost: StepCost
  readonly #tier: Tier | undefined
  #work: StepWork | undefined
  #numPlanned = 0
  numPreemptions = 0
  /** Tokens of the sequences admitted so far, and how many of these were cached. */
  numQueriedTokens = 0
  numCachedTokens = 0

  constructor(pool: BlockPool, limits: SchedulerLimits, tier?: Tier, cost = new StepCost()) {
    this.#tier = tier
    this.#pool = pool
    this.#limits = limits
    this.#cost = cost
  }

  add(sequence: Sequence): void {
    this.waiting.enter(sequence)
  }

  /** Chunks of the next step, with blocks for them; once they have run, `advance` must be told. */
  schedule(): Chunk[] {
    const { maxNumBatchedTokens: maxTokens, stepBudgetMs: budgetMs } = this.#limits
    const isProbing = ++this.#numPlanned % probeInterval === 0
    const plan = new StepPlan({ maxTokens, cost: this.#cost, budgetMs, isProbing })
    for (const sequence of this.running.filter((s) => isDecoding(s) && s.numReady > 0)) {
      const numTokens = Math.min(sequence.numReady, plan.numTokensLeft)
      if (numTokens > 0 && this.running.includes(sequence) && this.#reserve(sequence, numTokens, plan))
        this.#plan(sequence, numTokens, plan)
    }
    this.#planPrompts(plan)
    this.#work = plan.work
    return plan.chunks
  }

  #planPrompts(plan: StepPlan): void {
    const withoutBlocks: Sequence[] = []
    const usersWithoutSlot = new Set<string>()
    // tokens of those that go before a prompt whose turn it is
    let numAhead = 0
    const isOut = (s: Sequence): boolean => plan.hasPassed(s) || usersWithoutSlot.has(s.user)
    const admits = (): boolean =>
      plan.numPassed < maxTries && !withoutBlocks.some(({ numOvertaken }) => numOvertaken >= maxOvertaken)
    for (;;) {
      const started = this.#firstStarted(plan)
      const next = admits() ? this.waiting.first(isOut) : undefined
      const isBehind = next && started && this.waiting.compare(started, next) < 0
      if (next && !(isBehind && !this.#isQuick(next, started, numAhead, plan))) {
        const outcome = this.#admit(next, plan)
        if (isBehind) numAhead += plan.tokensOf(next)
        else if (outcome === 'step is full') return
        if (outcome === 'no slot') usersWithoutSlot.add(next.user)
        else if (outcome === 'admitted') for (const sequence of withoutBlocks) sequence.numOvertaken++
        else plan.pass(next)
        if (outcome === 'no blocks') withoutBlocks.push(next)
      } else if (started) {
        const numTokens = plan.room(started.numComputed, started.numReady)
        if (numTokens === 0) return
        this.#plan(started, numTokens, plan)
      } else return
    }
  }

  /** The running sequence whose prompt is to be computed next. */
  #firstStarted(plan: StepPlan): Sequence | undefined {
    const started = this.running.filter((s) => !plan.has(s) && !isDecoding(s) && s.numReady > 0)
    return started.sort((a, b) => this.waiting.compare(a, b))[0]
  }

  /**
   * Whether the next of a user's prompts is so short that it goes before the one in progress: a chat should not wait for
   * a book. Of what the step has for that one, half at most goes to others, `numAhead` tokens so far; so it gets on.
   */
  #isQuick(next: Sequence, started: Sequence, numAhead: number, plan: StepPlan): boolean {
    if (next.user !== started.user || next.priority !== started.priority) return false
    const numTokens = next.numReady - this.#matched(next).length * this.#pool.blockSize
    return 2 * numTokens + numAhead <= plan.room(started.numComputed, started.numReady)
  }

  /** Cached blocks with which a sequence may begin. */
  #matched(sequence: Sequence): readonly number[] {
    return sequence.needsEveryRow ? [] : this.#pool.match(sequence)
  }

  #plan(sequence: Sequence, numTokens: number, plan: StepPlan): void {
    plan.add(sequence, numTokens)
    this.waiting.charge(sequence, numTokens)
  }

  /** Moves a waiting sequence among the running ones, with blocks for all tokens it has so far. */
  #admit(sequence: Sequence, plan: StepPlan): 'admitted' | 'step is full' | 'no slot' | 'no blocks' | 'in the making' {
    if (!this.#victims(sequence, 0)) return 'no slot'
    const { tokens, needsEveryRow } = sequence
    const matched = this.#matched(sequence)
    if (!needsEveryRow && this.#isInTheMaking(sequence, matched.length)) return 'in the making'
    if (!needsEveryRow && this.#tier?.isFetching(sequence, matched.length)) return 'in the making'
    const numCached = Math.max(matched.length * this.#pool.blockSize, sequence.numGiven)
    const numReady = sequence.numReady - numCached
    if (numReady === 0) return 'in the making'
    const numTokens = plan.room(numCached, numReady)
    if (numTokens === 0 || (this.#limits.wholeTexts && numTokens < numReady)) return 'step is full'
    this.#pool.share(sequence, matched)
    const count = this.#pool.blocksFor(tokens.length)
    const victims = this.#victims(sequence, count - matched.length - this.#pool.numAvailable)
    if (!victims) {
      this.#pool.release(sequence)
      return 'no blocks'
    }
    for (const victim of victims) this.#preempt(victim, plan)
    this.#pool.grow(sequence, count)
    this.waiting.remove(sequence)
    this.#insert(sequence)
    sequence.numOvertaken = 0
    if (sequence.numCached === undefined) {
      sequence.numCached = numCached - sequence.numGiven
      this.numQueriedTokens += tokens.length - sequence.numGiven
      this.numCachedTokens += sequence.numCached
    }
    this.#plan(sequence, numTokens, plan)
    return 'admitted'
  }

  /** Whether a sequence that goes first is about to fill the `i`-th block with this sequence's tokens: better wait. */
  #isInTheMaking(sequence: Sequence, i: number): boolean {
    const end = (i + 1) * this.#pool.blockSize
    if (end >= sequence.tokens.length) return false
    const key = this.#pool.keysOf(sequence, i + 1)[i]
    if (key === undefined) return false
    return this.running.some(
      (other) =>
        other.numComputed < end &&
        other.tokens.length >= end &&
        this.#pool.keysOf(other, i + 1)[i] === key &&
        this.waiting.compare(other, sequence) < 0,
    )
  }

  /** Gets the blocks for decoded tokens, from sequences that rank behind; false if it had to give way itself. */
  #reserve(sequence: Sequence, numTokens: number, plan: StepPlan): boolean {
    const count = this.#pool.blocksFor(sequence.numComputed + numTokens)
    while (count - sequence.blocks.length > this.#pool.numAvailable) {
      const behind = this.running.filter((other) => ranks(sequence, other) < 0)
      const victim = worst(behind, numRunningByUser(this.running)) ?? sequence
      this.#preempt(victim, plan)
      if (victim === sequence) return false
    }
    this.#pool.grow(sequence, count)
    return true
  }

  /**
   * Running sequences that have to give way so that there is a slot and `missing` more blocks for a waiting one; none if
   * there are anyway, undefined if nobody has to.
   */
  #victims(sequence: Sequence, missing: number): Sequence[] | undefined {
    const left = new Set(this.running)
    const numRunning = numRunningByUser(left)
    const own = numRunning.get(sequence.user) ?? 0
    const mustYield = ({ user, priority }: Sequence): boolean =>
      priority > sequence.priority ||
      (priority === sequence.priority && user !== sequence.user && numRunning.get(user)! >= own + 2)
    for (let gained = 0; left.size >= this.#limits.maxNumSeqs || gained < missing;) {
      const victim = worst([...left].filter(mustYield), numRunning)
      if (!victim) return undefined
      left.delete(victim)
      numRunning.set(victim.user, numRunning.get(victim.user)! - 1)
      gained += this.#pool.numSole(victim)
    }
    return this.running.filter((other) => !left.has(other))
  }

  #preempt(victim: Sequence, plan: StepPlan): void {
    this.running.splice(this.running.indexOf(victim), 1)
    this.waiting.charge(victim, -plan.remove(victim))
    this.#giveUp(victim)
    plan.pass(victim)
  }

  /** Puts a sequence that ran back in the queue, without its blocks. */
  #giveUp(sequence: Sequence): void {
    this.#pool.release(sequence)
    this.#tier?.expect(sequence)
    this.waiting.wait(sequence)
    this.numPreemptions++
  }

  /** Takes the blocks of all that run; they are computed anew. Not while a step runs. */
  preemptAll(): void {
    for (const sequence of this.running.splice(0)) this.#giveUp(sequence)
  }

  /** The step has run: what it computed counts, and full blocks can be shared. */
  advance(chunks: readonly Chunk[], milliseconds: number): void {
    if (this.#work) this.#cost.observe(this.#work, milliseconds)
    for (const { sequence, numTokens } of chunks) {
      // removed while the device was computing
      if (sequence.blocks.length === 0) continue
      sequence.numComputed += numTokens
      this.#pool.commit(sequence)
    }
  }

  /**
   * Brings in a sequence that goes on where a running one stands. It runs at once if there is a slot and a block; if a
   * block is returned, its copy is what the sequence starts from. Else it waits, and is computed as far as it is not cached.
   */
  fork(parent: Sequence, child: Sequence): { readonly from: number; readonly to: number } | undefined {
    this.waiting.enter(child)
    const hasRoom = this.running.length < this.#limits.maxNumSeqs && this.#pool.numAvailable > 0
    if (!hasRoom || !this.running.includes(parent)) return undefined
    this.waiting.remove(child)
    this.#insert(child)
    return this.#pool.fork(parent, child)
  }

  #insert(sequence: Sequence): void {
    this.running.splice(this.running.findLastIndex((other) => ranks(other, sequence) < 0) + 1, 0, sequence)
  }

  /** Takes a sequence out, wherever it is, and gives its blocks back. */
  remove(sequence: Sequence): void {
    const i = this.running.indexOf(sequence)
    if (i >= 0) this.running.splice(i, 1)
    else this.waiting.remove(sequence)
    this.waiting.leave(sequence)
    this.#pool.release(sequence)
  }
}

function numRunningByUser(running: Iterable<Sequence>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { user } of running) counts.set(user, (counts.get(user) ?? 0) + 1)
  return counts
}

/** Who gives way first: the highest priority number, then a user with many others, then the latest. */
function worst(sequences: readonly Sequence[], numRunning: ReadonlyMap<string, number>): Sequence | undefined {
  const count = ({ user }: Sequence): number => numRunning.get(user)!
  return [...sequences].sort((a, b) => b.priority - a.priority || count(b) - count(a) || b.arrival - a.arrival)[0]
}
