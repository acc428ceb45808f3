import { expect, test } from 'vitest'
import { StepCost, type StepWork } from './step-cost.ts'
import { randomIntegers } from './testing/random.ts'

const machine =
  (speed: number) =>
  ({ prefillTokens, decodes, context }: StepWork): number =>
    speed * (5 + (prefillTokens > 0 ? 2 : 0) + 0.3 * prefillTokens + 0.4 * decodes + (0.2 * context) / 1024)

function randomWork(random: (n: number) => number): StepWork {
  const prefillTokens = random(2) * random(300)
  const decodes = random(16)
  return { prefillTokens, decodes, context: (prefillTokens + decodes) * random(2000) }
}

test('it learns a machine within a hundred steps, and another one within two hundred more', () => {
  const random = randomIntegers(5)
  const cost = new StepCost()
  const noise = (): number => 0.9 + random(201) / 1000
  const worstError = (timeOf: (work: StepWork) => number): number =>
    Math.max(
      ...Array.from({ length: 200 }, () => randomWork(random)).map((w) => Math.abs(cost.estimate(w) / timeOf(w) - 1)),
    )
  for (let i = 0; i < 100; i++) {
    const work = randomWork(random)
    cost.observe(work, machine(1)(work) * noise())
  }
  expect(worstError(machine(1))).toBeLessThan(0.2)
  for (let i = 0; i < 200; i++) {
    const work = randomWork(random)
    cost.observe(work, machine(3)(work) * noise())
  }
  expect(worstError(machine(3))).toBeLessThan(0.2)
})

test('what steps do not tell apart for long stays known', () => {
  const random = randomIntegers(6)
  const cost = new StepCost()
  for (let i = 0; i < 200; i++) {
    const work = randomWork(random)
    cost.observe(work, machine(1)(work))
  }
  // only one kind of step, ever so often
  const mixed = { prefillTokens: 40, decodes: 8, context: 20_000 }
  for (let i = 0; i < 3000; i++) cost.observe(mixed, machine(1)(mixed) * (0.95 + random(101) / 1000))
  const decodes = { prefillTokens: 0, decodes: 8, context: 8000 }
  expect(Math.abs(cost.estimate(decodes) / machine(1)(decodes) - 1)).toBeLessThan(0.15)
})

test('a step that hung does not change what is believed', () => {
  const cost = new StepCost()
  const work = { prefillTokens: 0, decodes: 4, context: 1000 }
  for (let i = 0; i < 50; i++) cost.observe(work, 10)
  cost.observe(work, 10_000)
  expect(cost.estimate(work)).toBeLessThan(11)
  expect(cost.estimate({ prefillTokens: 100, decodes: 0, context: 5000 })).toBeGreaterThanOrEqual(0)
})
