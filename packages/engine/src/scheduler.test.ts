import { expect, test } from 'vitest'
import { BlockPool } from './block-pool.ts'
import { Scheduler } from './scheduler.ts'
import { Sequence } from './sequence.ts'
import { requestOf } from './testing/kv-model.ts'

function sequenceOf(id: string, promptLength: number, maxTokens: number): Sequence {
  return new Sequence(requestOf(id, promptLength, { maxTokens }), 0, [])
}

/** What the runner and the engine do after a step, with token 2 for every sequence that is due, and others that must follow. */
function advance(scheduler: Scheduler, chunks: ReturnType<Scheduler['schedule']>, numForced = () => 0): Sequence[] {
  const finished: Sequence[] = []
  scheduler.advance(chunks, 1)
  for (const { sequence } of chunks) {
    if (sequence.numPending > 0) continue
    sequence.append(2)
    for (let left = numForced(); left > 0 && !sequence.finish; left--) sequence.appendForced(2)
    if (!sequence.finish) continue
    scheduler.remove(sequence)
    finished.push(sequence)
  }
  return finished
}

test('decodes come before prompts, and prompts fill the rest of the budget', () => {
  const pool = new BlockPool(100, 4)
  const scheduler = new Scheduler(pool, { maxNumSeqs: 8, maxNumBatchedTokens: 10 })
  const long = sequenceOf('long', 25, 5)
  const short = sequenceOf('short', 6, 5)
  scheduler.add(long)
  scheduler.add(short)
  expect(scheduler.schedule()).toEqual([{ sequence: long, numTokens: 10 }])
  scheduler.advance([{ sequence: long, numTokens: 10 }], 1)
  advance(scheduler, scheduler.schedule())
  const third = scheduler.schedule()
  expect(third).toEqual([
    { sequence: long, numTokens: 5 },
    { sequence: short, numTokens: 5 },
  ])
  advance(scheduler, third)
  const other = sequenceOf('other', 30, 5)
  scheduler.add(other)
  expect(scheduler.schedule()).toEqual([
    { sequence: long, numTokens: 1 },
    { sequence: short, numTokens: 1 },
    { sequence: other, numTokens: 8 },
  ])
})

test('tokens that had to follow run along with the one that was drawn, as far as the budget goes', () => {
  const scheduler = new Scheduler(new BlockPool(100, 4), { maxNumSeqs: 8, maxNumBatchedTokens: 8 })
  const [first, second] = [sequenceOf('first', 3, 9), sequenceOf('second', 4, 9)]
  for (const sequence of [first, second]) scheduler.add(sequence)
  advance(scheduler, scheduler.schedule(), () => 4)
  expect(first.blocks.length).toBe(1)
  expect(scheduler.schedule()).toEqual([
    { sequence: first, numTokens: 5 },
    { sequence: second, numTokens: 3 },
  ])
  expect([first.blocks.length, second.blocks.length]).toEqual([2, 2])
  advance(scheduler, [
    { sequence: first, numTokens: 5 },
    { sequence: second, numTokens: 3 },
  ])
  // what did not fit comes next; the first one has one more token, since all of its own were run
  expect(scheduler.schedule()).toEqual([
    { sequence: first, numTokens: 1 },
    { sequence: second, numTokens: 2 },
  ])
})

test('the youngest is preempted when blocks run out, and everyone still finishes', () => {
  const pool = new BlockPool(6, 4)
  const scheduler = new Scheduler(pool, { maxNumSeqs: 8, maxNumBatchedTokens: 64 })
  const sequences = [sequenceOf('a', 8, 16), sequenceOf('b', 8, 16), sequenceOf('c', 4, 3)]
  for (const sequence of sequences) scheduler.add(sequence)
  const finished: string[] = []
  for (let step = 0; step < 200 && finished.length < 3; step++)
    finished.push(...advance(scheduler, scheduler.schedule()).map((s) => s.request.requestId))
  expect(finished.sort()).toEqual(['a', 'b', 'c'])
  expect(scheduler.numPreemptions).toBeGreaterThan(0)
  expect(sequences.map((s) => s.numGenerated)).toEqual([16, 16, 3])
  pool.check([])
})

test('random traffic keeps the budget, the limits and every block', () => {
  let state = 7
  const random = (n: number): number => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) % n
  for (let round = 0; round < 8; round++) {
    const blockSize = 1 + random(9)
    const pool = new BlockPool(Math.ceil(60 / blockSize) + random(12), blockSize)
    const limits = { maxNumSeqs: 1 + random(6), maxNumBatchedTokens: 6 + random(20) }
    const scheduler = new Scheduler(pool, limits)
    const alive = new Set<Sequence>()
    let added = 0
    for (let step = 0; added < 40 || alive.size > 0; step++) {
      expect(step).toBeLessThan(5000)
      if (added < 40 && random(3) === 0) {
        const promptLength = 1 + random(40)
        const sequence = sequenceOf(String(added++), promptLength, 1 + random(60 - promptLength))
        alive.add(sequence)
        scheduler.add(sequence)
      }
      const victim = [...alive][random(200)]
      if (victim) {
        scheduler.remove(victim)
        alive.delete(victim)
      }
      const chunks = scheduler.schedule()
      expect(chunks.reduce((sum, c) => sum + c.numTokens, 0)).toBeLessThanOrEqual(limits.maxNumBatchedTokens)
      expect(scheduler.running.length).toBeLessThanOrEqual(limits.maxNumSeqs)
      if (alive.size > 0) expect(chunks.length).toBeGreaterThan(0)
      for (const { sequence, numTokens } of chunks)
        expect(sequence.blocks.length * blockSize).toBeGreaterThanOrEqual(sequence.numComputed + numTokens)
      pool.check(scheduler.running)
      expect([...scheduler.waiting].every(({ blocks }) => blocks.length === 0)).toBe(true)
      const numForced = (): number => (random(4) === 0 ? random(4) : 0)
      for (const sequence of advance(scheduler, chunks, numForced)) alive.delete(sequence)
    }
    expect(pool.numFree).toBe(pool.total)
  }
})
