import { describe, expect, test } from 'vitest'
import type { StepWork } from './step-cost.ts'
import { randomIntegers } from './testing/random.ts'
import { Simulation } from './testing/simulation.ts'

describe('users take turns', () => {
  const blocks = { total: 4000, size: 16 }

  test.each([
    ['slots are short', { total: 4000, size: 16 }, { maxNumSeqs: 8, maxNumBatchedTokens: 64 }],
    ['blocks are short', { total: 40, size: 16 }, { maxNumSeqs: 8, maxNumBatchedTokens: 64 }],
    ['steps are short', { total: 4000, size: 16 }, { maxNumSeqs: 8, maxNumBatchedTokens: 8 }],
  ])(
    '500 requests of one delay the first token of another by no more than a step per slot: %s',
    (_, memory, limits) => {
      const simulation = new Simulation(memory, limits)
      for (let i = 0; i < 500; i++) simulation.add(`a${i}`, 60, 200, { user: 'a' })
      simulation.run(100)
      const arrival = simulation.numSteps
      simulation.add('b', 30, 5, { user: 'b' })
      simulation.run(60)
      const alone = Math.ceil(30 / limits.maxNumBatchedTokens)
      // a decode takes a token of the step from the prompt, so a short step gives it what is left
      const share = Math.ceil(30 / (limits.maxNumBatchedTokens - limits.maxNumSeqs + 1))
      expect(simulation.tokenSteps.get('b')![0]! - arrival).toBeLessThanOrEqual(
        Math.max(alone + limits.maxNumSeqs, share),
      )
      expect(simulation.tokenSteps.get('b')).toHaveLength(5)
    },
  )

  test('equal users get equal numbers of tokens, however much one sends', () => {
    const simulation = new Simulation(blocks, { maxNumSeqs: 4, maxNumBatchedTokens: 64 })
    for (let i = 0; i < 300; i++) simulation.add(`a${i}`, 20, 20, { user: 'a' })
    for (let i = 0; i < 40; i++) simulation.add(`b${i}`, 20, 20, { user: 'b' })
    simulation.run(200)
    const tokens = (user: string): number =>
      [...simulation.tokenSteps].reduce((sum, [id, steps]) => sum + (id.startsWith(user) ? steps.length : 0), 0)
    expect(tokens('b') / tokens('a')).toBeGreaterThan(0.8)
    expect(tokens('b') / tokens('a')).toBeLessThan(1.25)
  })

  test('nobody saves up service by staying away', () => {
    const simulation = new Simulation(blocks, { maxNumSeqs: 2, maxNumBatchedTokens: 64 })
    for (let i = 0; i < 20; i++) simulation.add(`a${i}`, 20, 20, { user: 'a' })
    simulation.run(100)
    simulation.add('b0', 20, 20, { user: 'b' })
    simulation.run(10)
    // b has had little so far, but a goes on beside it
    const { length } = simulation.tokenSteps.get('a10') ?? []
    simulation.run(5)
    expect([...simulation.tokenSteps.values()].flat().filter((step) => step > simulation.numSteps - 5).length).toBe(10)
    expect(length).toBeDefined()
    // and one who comes back after others begins with them, not behind
    simulation.run()
    simulation.add('b1', 20, 40, { user: 'b' })
    simulation.add('a99', 20, 40, { user: 'a' })
    simulation.run(5)
    expect(simulation.tokenSteps.get('b1')!.length).toBe(simulation.tokenSteps.get('a99')!.length)
  })

  test('users are forgotten in the end', () => {
    const simulation = new Simulation({ total: 10, size: 4 }, { maxNumSeqs: 8, maxNumBatchedTokens: 64 })
    for (let i = 0; i < 200; i++) {
      simulation.add(`u${i}`, 2, 1, { user: `u${i}` })
      simulation.run()
    }
    expect(simulation.tokenSteps.size).toBe(200)
  })
})

describe('prompts of one user', () => {
  const blocks = { total: 4000, size: 16 }
  const limits = { maxNumSeqs: 8, maxNumBatchedTokens: 64 }

  test('a short one does not wait for a long one in progress', () => {
    const simulation = new Simulation(blocks, limits)
    simulation.add('a0', 6400, 1)
    simulation.run(3)
    simulation.add('a1', 32, 1)
    simulation.add('a2', 33, 1)
    simulation.run(1)
    expect(simulation.tokenSteps.get('a1')).toEqual([4])
    // half of the step is for the one in progress
    expect(simulation.numRows).toBe(4 * 64)
    simulation.run(1)
    expect(simulation.tokenSteps.has('a2')).toBe(false)
    simulation.run()
    expect(simulation.tokenSteps.get('a0')![0]).toBe(101)
  })

  test('short ones without end cost a long one no more than half of each step', () => {
    const simulation = new Simulation(blocks, limits)
    simulation.add('a0', 6400, 1)
    simulation.run(1)
    for (let i = 1; i <= 500; i++) simulation.add(`a${i}`, 1 + (i % 32), 1)
    simulation.run()
    expect(simulation.tokenSteps.get('a0')![0]).toBeLessThanOrEqual(200)
    expect(simulation.tokenSteps.size).toBe(501)
  })

  test('one of a worse priority waits', () => {
    const simulation = new Simulation(blocks, limits)
    simulation.add('a0', 640, 1, { user: 'a' })
    simulation.run(1)
    simulation.add('a1', 8, 1, { user: 'a', priority: 1 })
    simulation.run()
    expect(simulation.tokenSteps.get('a0')).toEqual([10])
    expect(simulation.tokenSteps.get('a1')).toEqual([11])
  })
})

describe('priority', () => {
  test('lower goes first, and takes the slot of a higher one', () => {
    const simulation = new Simulation({ total: 100, size: 16 }, { maxNumSeqs: 2, maxNumBatchedTokens: 64 })
    for (const id of ['x1', 'x2', 'x3']) simulation.add(id, 10, 50)
    simulation.add('late', 10, 50, { priority: 5 })
    simulation.run(3)
    simulation.add('urgent', 10, 5, { priority: -1 })
    simulation.step()
    expect(simulation.runs('urgent')).toBe(true)
    expect([simulation.runs('x1'), simulation.runs('x2')]).toEqual([true, false])
    expect(simulation.scheduler.numPreemptions).toBe(1)
    simulation.run()
    const ends = [...simulation.tokenSteps].map(([id, steps]) => [id, steps.at(-1)!] as const)
    expect(ends.sort((a, b) => a[1] - b[1]).map(([id]) => id)).toEqual(['urgent', 'x1', 'x2', 'x3', 'late'])
  })

  test('it takes blocks as well, and the one set back finds its own again', () => {
    const simulation = new Simulation({ total: 11, size: 4 }, { maxNumSeqs: 4, maxNumBatchedTokens: 64 })
    simulation.add('low', 24, 6, { priority: 1 })
    simulation.run(2)
    simulation.add('high', 5, 2)
    simulation.step()
    expect([simulation.runs('low'), simulation.runs('high')]).toEqual([true, true])
    simulation.add('higher', 13, 2, { priority: -1 })
    simulation.step()
    expect([simulation.runs('low'), simulation.runs('higher')]).toEqual([false, true])
    simulation.run()
    expect(simulation.tokenSteps.get('low')).toHaveLength(6)
    // 24 + 5 + 13 tokens of prompts and what follows; without the cache low would cost 26 more
    expect(simulation.numRows).toBeLessThan(24 + 5 + 13 + 6 + 2 + 2 + 20)
  })
})

test('small requests pass a large one that waits for blocks, but not for ever', () => {
  const simulation = new Simulation({ total: 20, size: 4 }, { maxNumSeqs: 20, maxNumBatchedTokens: 100 })
  simulation.add('first', 40, 4)
  simulation.step()
  simulation.add('large', 70, 4)
  let added = 0
  let passed = 0
  for (let step = 0; step < 200 && !simulation.tokenSteps.has('large'); step++) {
    // there is always something small to do
    for (let i = 0; i < 3; i++) simulation.add(`s${added++}`, 6, 6)
    simulation.step()
    if (step < 4) passed = [...simulation.tokenSteps.keys()].filter((id) => id.startsWith('s')).length
  }
  expect(passed).toBeGreaterThan(0)
  expect(simulation.tokenSteps.has('large')).toBe(true)
  expect(simulation.tokenSteps.size).toBeLessThan(60)
})

test('completions of one request compute the full blocks of its prompt once', () => {
  const simulation = new Simulation({ total: 100, size: 16 }, { maxNumSeqs: 8, maxNumBatchedTokens: 64 })
  simulation.add('x', 100, 3, {}, 5)
  simulation.run()
  expect(simulation.tokenSteps.get('x')).toHaveLength(15)
  // 6 full blocks once, 4 tokens of the prompt and 2 answers each
  expect(simulation.numRows).toBe(96 + 5 * (4 + 2))
  expect(simulation.scheduler.numCachedTokens).toBe(4 * 96)
})

test('requests that begin alike and come at once compute the beginning once', () => {
  const simulation = new Simulation({ total: 200, size: 16 }, { maxNumSeqs: 16, maxNumBatchedTokens: 64 })
  const system = Array.from({ length: 160 }, (_, i) => i)
  for (let i = 0; i < 10; i++) simulation.add(`x${i}`, [...system, 500 + i, 501 + i], 2)
  simulation.run()
  expect(simulation.numRows).toBe(160 + 10 * (2 + 1))
})

describe('time of a step', () => {
  // milliseconds on a machine that was never seen, with noise of 10 %
  const machine = (perToken: number): ((work: StepWork) => number) => {
    const random = randomIntegers(7)
    return ({ prefillTokens, decodes, context }) =>
      (6 +
        (prefillTokens > 0 ? 0.5 : 0) +
        perToken * prefillTokens +
        0.2 * decodes +
        (0.3 * perToken * context) / 1024) *
      (0.95 + random(101) / 1000)
  }
  const limits = { maxNumSeqs: 16, maxNumBatchedTokens: 512 }
  const decoding = (perToken: number): Simulation => {
    const simulation = new Simulation({ total: 12_000, size: 16 }, limits, machine(perToken))
    for (let i = 0; i < 8; i++) simulation.add(`d${i}`, 60 + i, 18_000)
    simulation.run(200)
    return simulation
  }
  /** The gap between two tokens of a decode that 1 % exceed, from token 200 on. */
  const p99 = (simulation: Simulation): number => {
    const gaps = Array.from({ length: 8 }, (_, i) => simulation.tokenTimes.get(`d${i}`)!.slice(200))
      .flatMap((times) => times.slice(1).map((time, i) => time - times[i]!))
      .sort((a, b) => a - b)
    return gaps[Math.floor(gaps.length * 0.99)]!
  }

  test.each([0.05, 0.25, 1])(
    'a prompt of 16k tokens at %s ms each at most doubles the gaps of 8 decodes',
    (perToken) => {
      const simulation = decoding(perToken)
      const { now, numSteps } = simulation
      simulation.add('long', 16_000, 2)
      while (!simulation.tokenSteps.has('long')) simulation.step()
      const without = decoding(perToken)
      without.run(simulation.numSteps - numSteps)
      expect(p99(simulation)).toBeLessThan(2 * p99(without))
      // and it gets on: a good part of the time goes into it
      const least = 16_000 * perToken * (1 + (0.3 * 8000) / 1024)
      expect(simulation.now - now).toBeLessThan(3.2 * least)
    },
  )

  test('first steps that were slow do not hold back prompts for good', () => {
    const usual = machine(0.05)
    let numSteps = 0
    const cold = (work: StepWork): number => usual(work) * (numSteps++ < 5 ? 100 : 1)
    const simulation = new Simulation({ total: 12_000, size: 16 }, limits, cold)
    for (let i = 0; i < 8; i++) simulation.add(`d${i}`, 60 + i, 18_000)
    simulation.run(8)
    simulation.add('long', 16_000, 2)
    simulation.run(1000)
    expect(simulation.tokenSteps.has('long')).toBe(true)
  })

  test('a budget in milliseconds is kept, and without decodes a step is full', () => {
    const budget = { ...limits, stepBudgetMs: 30 }
    const simulation = new Simulation({ total: 2000, size: 16 }, budget, machine(0.25))
    simulation.add('long', 4000, 500)
    expect(simulation.step()).toMatchObject([{ numTokens: 512 }])
    simulation.run(20)
    simulation.add('next', 8000, 2)
    simulation.run(10)
    const { now, numSteps } = simulation
    simulation.run(50)
    expect((simulation.now - now) / (simulation.numSteps - numSteps)).toBeLessThan(31)
    expect((simulation.now - now) / (simulation.numSteps - numSteps)).toBeGreaterThan(25)
  })
})
