import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BlockPool } from './block-pool.ts'
import { LLM } from './llm.ts'

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 256, blockSize: 16, maxNumSeqs: 2 })
})
afterAll(() => llm.close())

const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0)

test('a snapshot shows who runs, who waits and what the blocks are used for', async () => {
  const before = await llm.snapshot()
  expect(before.sequences).toEqual([])
  expect(sum(before.blocks.owned)).toBe(0)
  const params = { maxTokens: 80, ignoreEos: true, seed: 1 }
  const streams = ['One two three.', 'Four five six.', 'Seven eight nine.'].map((text) => llm.submit(text, params))
  let during = await llm.snapshot()
  while (!during.sequences.some(({ generatedTokens }) => generatedTokens > 20)) during = await llm.snapshot()
  expect(during.sequences.map(({ state }) => state)).toEqual(['running', 'running', 'waiting'])
  for (const [i, { requestId, promptTokens }] of during.sequences.entries())
    expect({ requestId, promptTokens }).toEqual({
      requestId: streams[i]!.requestId,
      promptTokens: streams[i]!.promptTokenIds.length,
    })
  const [first, , last] = during.sequences
  expect(first!.blocks).toBeGreaterThanOrEqual(Math.ceil(first!.computedTokens / 16))
  expect(first!.computedTokens).toBe(first!.promptTokens + first!.generatedTokens - 1)
  expect(first!.age).toBeLessThanOrEqual(during.time - before.time)
  expect(last).toMatchObject({ blocks: 0, generatedTokens: 0, computedTokens: 0 })
  expect(sum(during.blocks.owned)).toBe(during.stats.ownedBlocks)
  expect(sum(during.blocks.cached)).toBe(during.stats.cachedBlocks)

  const outputs = await Promise.all(streams.map((stream) => stream.result()))
  const { stats, sequences, blocks } = await llm.snapshot()
  expect(sequences).toEqual([])
  expect(sum(blocks.owned)).toBe(0)
  expect(sum(blocks.cached)).toBe(stats.cachedBlocks)
  const numPrompt = outputs.reduce((total, { promptTokenIds }) => total + promptTokenIds.length, 0)
  expect(stats.numGeneratedTokens).toBe(240)
  expect(stats.numFirstTokens).toBe(3)
  // the last token of each is never run
  expect(stats.numComputedTokens).toBe(numPrompt + 240 - 3)
  // the third had to wait for one of the others
  expect(stats.sumTimeToFirstToken).toBeGreaterThan(first!.age)
})

test('a large pool is shown in few cells', () => {
  const pool = new BlockPool(10, 4)
  const owner = { blocks: [], numComputed: 0, numCommitted: 0, tokens: [], cacheSalt: '', blockKeys: [] }
  pool.grow(owner, 5)
  expect(pool.map(10)).toEqual({ blocksPerCell: 1, owned: [1, 1, 1, 1, 1, 0, 0, 0, 0, 0], cached: Array(10).fill(0) })
  expect(pool.map(4)).toEqual({ blocksPerCell: 3, owned: [3, 2, 0, 0], cached: [0, 0, 0, 0] })
})
