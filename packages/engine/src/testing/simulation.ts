import { BlockPool } from '../block-pool.ts'
import { PrefixCache } from '../prefix-cache.ts'
import type { SchedulingOptions } from '../scheduling-options.ts'
import { Scheduler, type SchedulerLimits } from '../scheduler.ts'
import { Sequence } from '../sequence.ts'
import type { StepWork } from '../step-cost.ts'
import { isDecoding, type Chunk } from '../step-plan.ts'
import { requestOf } from './kv-model.ts'

/** A scheduler over a machine that computes nothing: every due sequence gets token 2. */
export class Simulation {
  readonly pool: BlockPool
  readonly scheduler: Scheduler
  readonly #timeOf: (work: StepWork) => number
  /** Steps so far. */
  numSteps = 0
  now = 0
  /** By request: the steps, and the times, at which its tokens came. */
  readonly tokenSteps = new Map<string, number[]>()
  readonly tokenTimes = new Map<string, number[]>()
  numRows = 0

  constructor(
    blocks: { readonly total: number; readonly size: number },
    limits: SchedulerLimits,
    timeOf: (work: StepWork) => number = () => 1,
  ) {
    this.pool = new BlockPool(blocks.total, blocks.size, new PrefixCache(blocks.size))
    this.scheduler = new Scheduler(this.pool, limits)
    this.#timeOf = timeOf
  }

  add(id: string, prompt: number | readonly number[], maxTokens: number, options: SchedulingOptions = {}, n = 1): void {
    // texts of their own, unless they are given
    const seed = Number.parseInt(id.replace(/\D/g, '') || '0', 10) + id.charCodeAt(0) * 1000
    const tokens = typeof prompt === 'number' ? Array.from({ length: prompt }, (_, i) => (i === 0 ? seed : i)) : prompt
    const request = requestOf(id, tokens, { maxTokens, n }, options)
    for (let index = 0; index < n; index++) this.scheduler.add(new Sequence(request, index, []))
  }

  step(): readonly Chunk[] {
    const chunks = this.scheduler.schedule()
    const work = { prefillTokens: 0, decodes: 0, context: 0 }
    for (const { sequence, numTokens } of chunks) {
      if (isDecoding(sequence)) work.decodes++
      else work.prefillTokens += numTokens
      for (let i = 1; i <= numTokens; i++) work.context += sequence.numComputed + i
      this.numRows += numTokens
    }
    const time = this.#timeOf(work)
    this.now += time
    this.numSteps++
    this.scheduler.advance(chunks, time)
    for (const { sequence } of chunks) {
      if (sequence.numPending > 0) continue
      const id = sequence.request.requestId
      append(this.tokenSteps, id, this.numSteps)
      append(this.tokenTimes, id, this.now)
      sequence.append(2)
      if (sequence.finish) this.scheduler.remove(sequence)
    }
    return chunks
  }

  /** Steps until nothing is left, or `count` times. */
  run(count = 100_000): void {
    for (; count > 0 && this.scheduler.running.length + this.scheduler.waiting.length > 0; count--) this.step()
    this.pool.check(this.scheduler.running)
  }

  runs(id: string): boolean {
    return this.scheduler.running.some(({ request }) => request.requestId === id)
  }
}

function append(lists: Map<string, number[]>, id: string, value: number): void {
  const list = lists.get(id)
  if (list) list.push(value)
  else lists.set(id, [value])
}
