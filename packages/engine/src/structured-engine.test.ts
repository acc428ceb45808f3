import { miniModelDirectory } from '@slipway/mini'
import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import type { EngineOptions } from './options.ts'
import type { SamplingParams } from './sampling-params.ts'
import { addRequest, Answers, drain, openEngine, type Answer } from './testing/harness.ts'

// Contract 1 with grammars: a constrained sequence has the same bits alone and in a crowd, and so have its neighbours.

const constraints: (SamplingParams['structuredOutputs'] | undefined)[] = [
  { regex: '[a-z]+( [a-z]+)*' },
  undefined,
  {
    json: {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'string', maxLength: 9 } },
      required: ['a', 'b'],
    },
  },
  undefined,
  { choice: ['one', 'two and three', 'four'] },
  { grammar: 'root ::= "a" root "b" | [0-9]{2,9}' },
]
interface Asked {
  readonly prompt: readonly number[]
  readonly params: SamplingParams
}
const requests: readonly Asked[] = constraints.map((structuredOutputs, i) => ({
  prompt: Array.from({ length: 4 + i * 11 }, (_, j) => (j * 37 + i * 19 + 300) % 4000),
  params: {
    maxTokens: 12,
    seed: i,
    temperature: i === 0 ? 0 : 1,
    logprobs: 2,
    ...(structuredOutputs && { structuredOutputs }),
    ...(i % 2 === 0 && { repetitionPenalty: 1.1, logitBias: { 70: 3 } }),
  },
}))

/** Of these a step is drawn in one go: nothing but masks stands between logits and tokens. */
const masked: readonly Asked[] = requests.map(
  ({ prompt, params: { maxTokens, seed, temperature, structuredOutputs } }, i) => ({
    prompt,
    params: {
      maxTokens,
      seed,
      temperature,
      structuredOutputs,
      ...(i === 1 && { badWordsTokenIds: [[3, 4], ...Array.from({ length: 1000 }, (_, id) => [2 * id])] }),
      ...(i === 3 && { allowedTokenIds: Array.from({ length: 50 }, (_, j) => 31 * j + 7), minTokens: 9 }),
    },
  }),
)

async function answer(options: EngineOptions, together: boolean, places = requests.map((_, i) => i), asked = requests) {
  const { engine, device, info } = await openEngine({ maxModelLen: 128, ...options }, miniModelDirectory)
  const answers = new Answers()
  for (const i of places) {
    addRequest(engine, String(i), asked[i]!.prompt, asked[i]!.params)
    if (!together) await drain(engine, answers)
  }
  await drain(engine, answers)
  const { numPreemptions } = engine.stats()
  await engine.close()
  device.close()
  const byId = (a: [string, Answer], b: [string, Answer]): number => a[0].localeCompare(b[0])
  const bytesPerToken = info.kvCacheBytes / info.kvCacheTokens
  return { all: [...answers.all].sort(byId), numPreemptions, bytesPerToken }
}

describe.each(['reference', 'cpu'] as const)('on %s', (device) => {
  test.skipIf(device === 'cpu' && !cpuAvailable().available)(
    'bits alone, together, in chunks and preempted',
    async () => {
      const { all: alone, bytesPerToken } = await answer({ device }, false)
      const tight = { blockSize: 4, kvCacheMemory: 76 * bytesPerToken, maxModelLen: 72, maxNumSeqs: 6 }
      const ways: EngineOptions[] = [{}, { maxNumBatchedTokens: 16, maxNumSeqs: 7, blockSize: 5 }]
      for (const options of ways) expect((await answer({ device, ...options }, true)).all).toEqual(alone)
      const preempted = await answer({ device, ...tight }, true)
      expect(preempted.all).toEqual(alone)
      // the free ones alone: a neighbour with a mask changed nothing
      const free = constraints.flatMap((constraint, i) => (constraint ? [] : [i]))
      expect((await answer({ device }, true, free)).all).toEqual(
        alone.filter(([id]) => free.includes(Number(id.split('/')[0]))),
      )
      expect(preempted.numPreemptions).toBeGreaterThan(0)
    },
  )
})

test('masks in captured steps change no bit', async () => {
  const every = masked.map((_, i) => i)
  // log-probabilities take a request out of such steps
  const withLogprobs = masked.map(({ prompt, params }) => ({ prompt, params: { ...params, logprobs: 0 } }))
  const apart = await answer({}, false, every, withLogprobs)
  const expected = apart.all.map(([id, answer]) => [id, { ...answer, logprobs: [] }])
  expect(new Set(apart.all.map(([, { tokenIds }]) => tokenIds.join())).size).toBe(masked.length)
  const tight = { blockSize: 4, kvCacheMemory: 76 * apart.bytesPerToken, maxModelLen: 72, maxNumSeqs: 6 }
  expect((await answer({}, false, every, masked)).all).toEqual(expected)
  for (const options of [{}, { maxNumBatchedTokens: 16, blockSize: 5 }, tight])
    expect((await answer(options, true, every, masked)).all).toEqual(expected)
})

test('a grammar that fails in the engine ends its request alone', async () => {
  const { engine, device } = await openEngine({ maxModelLen: 128 }, miniModelDirectory)
  addRequest(engine, 'good', [300, 301], { maxTokens: 12, structuredOutputs: { regex: '[a-z ]{30,}' }, seed: 1 })
  addRequest(engine, 'bad', [300, 301], { maxTokens: 12, structuredOutputs: { grammar: 'root ::= missing' }, n: 2 })
  addRequest(engine, 'free', [300, 301], { maxTokens: 12, seed: 1 })
  const outputs: { requestId: string; error?: { message: string } }[] = []
  const answers = new Answers()
  while (engine.hasWork) {
    const step = await engine.step()
    outputs.push(...step)
    answers.take(step)
  }
  engine.checkIdle()
  expect([...answers.all].map(([id, { finishReason }]) => [id, finishReason]).sort()).toEqual([
    ['bad/0', 'error'],
    ['bad/1', 'error'],
    ['free/0', 'length'],
    ['good/0', 'length'],
  ])
  expect(outputs.find(({ error }) => error)?.error?.message).toContain('Rule "missing" is not defined')
  await engine.close()
  device.close()
})
