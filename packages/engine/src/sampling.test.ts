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

test('beam search: the best texts, all given back or a few', async () => {
  const all = await llm.beamSearch(prompt, { beamWidth: 4, maxTokens: 12 })
  expect(all.outputs).toHaveLength(4)
  const scores = all.outputs.map(({ score }) => score!)
  expect(scores).toEqual([...scores].sort((a, b) => b - a))
  const [two] = await llm.beamSearch([prompt], { beamWidth: 4, maxTokens: 12, n: 2 })
  expect(two!.outputs).toEqual(all.outputs.slice(0, 2))
  // no search is worse than taking the best token every time, and one of width 1 is that
  const greedy = await llm.generate(prompt, { temperature: 0, maxTokens: 12, logprobs: 0 })
  const one = await llm.beamSearch(prompt, { beamWidth: 1, maxTokens: 12, lengthPenalty: 0 })
  expect(one.outputs[0]!.text).toBe(greedy.outputs[0]!.text)
  expect(one.outputs[0]!.score).toBeCloseTo(greedy.outputs[0]!.cumulativeLogprob!, 4)
})

test('beam search refuses what it cannot do', () => {
  const ask = (params: object) => () => llm.submitBeamSearch(prompt, { beamWidth: 2, ...params })
  expect(ask({ n: 3 })).toThrow('parameter n: is above beamWidth')
  expect(ask({ beamWidth: 0 })).toThrow('parameter beamWidth')
  expect(ask({ earlyStopping: 'soon' })).toThrow('parameter earlyStopping')
  expect(ask({ temperature: 1 })).toThrow('parameter temperature')
  expect(ask({ maxTokens: 0 })).toThrow('maxTokens')
})
