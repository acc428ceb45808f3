import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LLM } from './index.ts'

// Sampling parameters that need texts, on the embedded model.

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 512 })
})
afterAll(() => llm.close())

const prompt = 'one two three'

test('bad words, with and without a space before them', async () => {
  const params = { temperature: 0, maxTokens: 24, ignoreEos: true }
  const { text } = (await llm.generate(prompt, params)).outputs[0]!
  // it counts on
  const badWords = ['four', 'six, seven']
  const without = (await llm.generate(prompt, { ...params, badWords })).outputs[0]!.text
  for (const word of badWords) expect(text).toContain(word)
  for (const word of badWords) expect(without).not.toContain(word)
  await expect(async () => llm.generate(prompt, { badWords: [''] })).rejects.toThrow('badWords')
})

test('the best of several are those of the highest log-probability in all, best first', async () => {
  const params = { temperature: 1.5, maxTokens: 10, seed: 3 }
  const all = await llm.generate(prompt, { ...params, n: 5, logprobs: 0 })
  const ranked = [...all.outputs].sort((a, b) => b.cumulativeLogprob! - a.cumulativeLogprob!)
  for (const { logprobs, cumulativeLogprob } of all.outputs)
    expect(cumulativeLogprob).toBe(logprobs!.reduce((sum, { logprob }) => sum + logprob, 0))
  const best = await llm.generate(prompt, { ...params, n: 2, bestOf: 5 })
  expect(best.outputs.map(({ text }) => text)).toEqual(ranked.slice(0, 2).map(({ text }) => text))
  expect(best.outputs.map(({ index }) => index)).toEqual([0, 1])
  expect(best.outputs[0]).not.toHaveProperty('logprobs')
  expect(best.usage).toEqual(all.usage)
})

test('the best of several are not streamed', async () => {
  expect(() => llm.generate(prompt, { bestOf: 2 }, { stream: true })).toThrow('bestOf 2 cannot be streamed')
  const stream = llm.submit(prompt, { bestOf: 2, maxTokens: 4 })
  expect(() => stream[Symbol.asyncIterator]()).toThrow('use result()')
  const same = llm.submit(prompt, { bestOf: 1, maxTokens: 4, ignoreEos: true })
  let count = 0
  for await (const event of same) if (event.type === 'delta') count += event.tokenIds.length
  expect(count).toBe(4)
})

test('log-probabilities of the prompt, in a stream first', async () => {
  const { promptTokenIds, promptLogprobs } = await llm.generate(prompt, { promptLogprobs: 1, maxTokens: 2 })
  expect(promptLogprobs).toHaveLength(promptTokenIds.length)
  expect(promptLogprobs![0]).toBeNull()
  expect(promptLogprobs!.slice(1).map((entry) => entry!.tokenId)).toEqual(promptTokenIds.slice(1))
  for (const entry of promptLogprobs!.slice(1)) {
    expect(entry!.top).toHaveLength(1)
    expect(entry!.rank === 1).toBe(entry!.top[0]!.tokenId === entry!.tokenId)
  }
  const events = []
  for await (const event of llm.generate(prompt, { promptLogprobs: 1, maxTokens: 2 }, { stream: true }))
    events.push(event)
  expect(events[0]).toEqual({ type: 'prompt', logprobs: promptLogprobs })
})
