import { expect, test } from 'vitest'
import { FigureHistory, formatRate, formatShare, formatTime, type Snapshot } from './figures.ts'

const zero: Snapshot['stats'] = {
  running: 0,
  waiting: 0,
  freeBlocks: 4,
  cachedBlocks: 0,
  ownedBlocks: 0,
  totalBlocks: 4,
  blockSize: 16,
  numPreemptions: 0,
  numQueriedTokens: 0,
  numCachedTokens: 0,
  numSteps: 0,
  numComputedTokens: 0,
  numGeneratedTokens: 0,
  numFirstTokens: 0,
  sumTimeToFirstToken: 0,
  residentBytes: 1,
}
const at = (time: number, stats: Partial<Snapshot['stats']>): Snapshot => ({
  time,
  stats: { ...zero, ...stats },
  blocks: { blocksPerCell: 1, owned: [0, 0, 0, 0], cached: [0, 0, 0, 0] },
  sequences: [],
})

test('rates are those of the last two seconds', () => {
  const history = new FigureHistory()
  expect(history.push(at(0, {}))).toMatchObject({
    generated: 0,
    prompt: 0,
    timeToFirstToken: undefined,
    hitRate: undefined,
  })
  // a prompt of 100 tokens, then one token in each step: the first comes with the prompt
  const first = {
    numSteps: 1,
    numComputedTokens: 100,
    numGeneratedTokens: 1,
    numFirstTokens: 1,
    sumTimeToFirstToken: 80,
  }
  expect(history.push(at(500, first))).toMatchObject({ generated: 2, prompt: 200, timeToFirstToken: 80 })
  const later = { ...first, numSteps: 11, numComputedTokens: 110, numGeneratedTokens: 11 }
  expect(history.push(at(1000, later))).toMatchObject({ generated: 11, prompt: 100 })
  expect(history.push(at(3000, later))).toMatchObject({ generated: 0, prompt: 0, timeToFirstToken: 80 })
  expect(history.series).toEqual([0, 2, 11, 0])
})

test('the time to the first token is that of late, or the last there was', () => {
  const history = new FigureHistory()
  const one = { numSteps: 1, numFirstTokens: 2, sumTimeToFirstToken: 100 }
  expect(history.push(at(0, one)).timeToFirstToken).toBe(50)
  const two = { numSteps: 2, numFirstTokens: 3, sumTimeToFirstToken: 400 }
  expect(history.push(at(1000, two)).timeToFirstToken).toBe(300)
  for (let time = 2000; time < 120_000; time += 1000) expect(history.push(at(time, two)).timeToFirstToken).toBe(300)
})

test('another engine begins anew', () => {
  const history = new FigureHistory()
  history.push(at(5000, { numSteps: 50, numGeneratedTokens: 900 }))
  expect(history.push(at(100, { numSteps: 1, numGeneratedTokens: 5 })).generated).toBe(0)
})

test('shares', () => {
  const figures = new FigureHistory().push(
    at(0, { numQueriedTokens: 200, numCachedTokens: 50, numDraftTokens: 10, numAcceptedTokens: 7 }),
  )
  expect(figures).toMatchObject({ hitRate: 0.25, acceptance: 0.7 })
  expect(new FigureHistory().push(at(0, {})).acceptance).toBeUndefined()
})

test('numbers for people', () => {
  expect([formatRate(0), formatRate(12.34), formatRate(1234.5)]).toEqual(['0.0', '12.3', '1235'])
  expect([formatTime(5), formatTime(1500), formatTime(120_000)]).toEqual(['5 ms', '1.5 s', '2.0 min'])
  expect([formatShare(1), formatShare(0.5), formatShare(0.0123), formatShare(1e-6), formatShare(0)]).toEqual([
    '100 %',
    '50 %',
    '1.2 %',
    '< 0.1 %',
    '0 %',
  ])
})
