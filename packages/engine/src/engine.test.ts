import { cpuAvailable } from '@slipway/tensor'
import { beforeAll, describe, expect, test } from 'vitest'
import type { EngineOptions } from './options.ts'
import type { SamplingParams } from './sampling-params.ts'
import { addRequest, Answers, drain, openEngine, type Answer } from './testing/harness.ts'

// Contract 1 by bits: whatever else goes on, a request's tokens and logprobs are those it gets alone.

const requests = Array.from({ length: 8 }, (_, i) => ({
  prompt: Array.from({ length: 3 + i * 9 }, (_, j) => (j * 31 + i * 17 + 5) % 150),
  params: {
    maxTokens: 24,
    seed: i,
    temperature: i === 0 ? 0 : 0.5 + i / 4,
    logprobs: 3,
    ...(i % 2 ? { topK: 20, topP: 0.9 } : { minP: 0.02 }),
    ...(i % 3 === 0 ? { repetitionPenalty: 1.2, presencePenalty: 0.3, logitBias: { 7: 2 } } : {}),
  } satisfies SamplingParams,
}))

async function answer(options: EngineOptions, together: boolean): Promise<Map<string, Answer>> {
  const { engine, device } = await openEngine(options)
  const answers = new Answers()
  for (const [i, { prompt, params }] of requests.entries()) {
    addRequest(engine, String(i), prompt, params)
    if (!together) await drain(engine, answers)
  }
  const all = await drain(engine, answers)
  device.close()
  return all
}

const devices = ['reference', 'cpu'] as const
// 96 tokens in 3 layers of 2 key heads of 16 columns, in f32 or in int8 with a scale
const smallPool = (bytesOfHead: number): EngineOptions => ({
  maxModelLen: 96,
  kvCacheMemory: 2 * 3 * 96 * 2 * bytesOfHead,
  maxNumSeqs: 8,
})

for (const [device, kvCacheDtype] of devices.flatMap((one) => [[one, 'auto'] as const, [one, 'int8'] as const]))
  describe.skipIf(device === 'cpu' && !cpuAvailable().available)(`on ${device}, cache ${kvCacheDtype}`, () => {
    let alone: Promise<Map<string, Answer>>
    beforeAll(() => {
      alone = answer({ device, kvCacheDtype }, false)
    })

    test.each<[string, EngineOptions]>([
      ['together', {}],
      ['together, prompts in chunks of 7', { maxNumBatchedTokens: 16, maxNumSeqs: 7 }],
      ['together, blocks of 1', { blockSize: 1 }],
      ['together, blocks of 13', { blockSize: 13 }],
      ['three at a time', { maxNumSeqs: 3 }],
      ['one thread', { threads: 1 }],
    ])('%s', async (_, options) => {
      expect(await answer({ device, kvCacheDtype, ...options }, true)).toEqual(await alone)
    })

    test('with forced preemption', async () => {
      const {
        engine,
        device: opened,
        info,
      } = await openEngine({ device, kvCacheDtype, ...smallPool(kvCacheDtype === 'int8' ? 20 : 64), blockSize: 8 })
      expect(info.kvCacheTokens).toBeLessThan(requests.reduce((sum, r) => sum + r.prompt.length + 24, 0) / 2)
      for (const [i, { prompt, params }] of requests.entries()) addRequest(engine, String(i), prompt, params)
      const all = await drain(engine)
      expect(engine.stats().numPreemptions).toBeGreaterThan(0)
      const byId = (a: [string, Answer], b: [string, Answer]): number => a[0].localeCompare(b[0])
      expect([...all].sort(byId)).toEqual([...(await alone)].sort(byId))
      opened.close()
    })
  })

test('n completions differ, and each is what its index gives alone', async () => {
  const { engine, device } = await openEngine()
  addRequest(engine, 'x', [5, 6, 7], { n: 4, seed: 3, temperature: 2, maxTokens: 12 })
  const all = await drain(engine)
  expect(all.size).toBe(4)
  expect(new Set([...all.values()].map((a) => a.tokenIds.join())).size).toBe(4)
  addRequest(engine, 'x', [5, 6, 7], { n: 2, seed: 3, temperature: 2, maxTokens: 12 })
  const again = await drain(engine)
  expect(again.get('x/1')).toEqual(all.get('x/1'))
  device.close()
})

test('min tokens bans the ends, stop ids end, and reasons are told', async () => {
  const { engine, device } = await openEngine()
  addRequest(engine, 'free', [5, 6, 7], { temperature: 0, maxTokens: 20, logprobs: 0 })
  const free = (await drain(engine)).get('free/0')!
  expect(free.finishReason).toBe('length')
  const stop = free.tokenIds[4]!
  const first = free.tokenIds.indexOf(stop)
  addRequest(engine, 'stop', [5, 6, 7], { temperature: 0, maxTokens: 20, stopTokenIds: [stop] })
  addRequest(engine, 'min', [5, 6, 7], { temperature: 0, maxTokens: 20, stopTokenIds: [stop], minTokens: 10 })
  const all = await drain(engine)
  expect(all.get('stop/0')).toMatchObject({ tokenIds: free.tokenIds.slice(0, first + 1), finishReason: 'stop' })
  const min = all.get('min/0')!
  expect(min.tokenIds.length).toBeGreaterThanOrEqual(10)
  expect(min.tokenIds.slice(0, 10)).not.toContain(stop)
  device.close()
})

test('200 requests with random aborts: each ends once and every block comes back', async () => {
  let state = 11
  const random = (n: number): number => (state = (Math.imul(state, 48271) >>> 0) % 2147483647) % n
  const { engine, device } = await openEngine({ ...smallPool(64), blockSize: 8 })
  const answers = new Answers()
  const aborted = new Set<string>()
  for (let i = 0; i < 200 || engine.hasWork; i++) {
    if (i < 200) {
      const prompt = Array.from({ length: 1 + random(50) }, () => random(150))
      addRequest(engine, String(i), prompt, { maxTokens: 1 + random(40), seed: i, n: 1 + random(2) })
    }
    if (random(3) === 0) {
      const id = String(random(200))
      const outputs = engine.abort(id)
      if (outputs.length > 0) aborted.add(id)
      answers.take(outputs)
    }
    answers.take(await engine.step())
    const { freeBlocks, ownedBlocks, cachedBlocks, totalBlocks } = engine.stats()
    expect(freeBlocks + ownedBlocks + cachedBlocks).toBe(totalBlocks)
  }
  engine.checkIdle()
  expect(new Set([...answers.all.keys()].map((key) => key.split('/')[0])).size).toBe(200)
  for (const [key, { finishReason }] of answers.all) {
    expect(finishReason).toBeDefined()
    if (finishReason === 'abort') expect(aborted).toContain(key.split('/')[0])
  }
  expect(engine.stats().ownedBlocks).toBe(0)
  device.close()
})

describe('refuses settings that cannot hold', () => {
  test.each<[string, EngineOptions, string]>([
    ['a length beyond the positions', { maxModelLen: 1 << 20 }, "above the model's"],
    ['too little KV memory for the length', { maxModelLen: 128, kvCacheMemory: 60 * 1024 }, 'option kvCacheMemory'],
    ['no KV memory at all', { kvCacheMemory: '10 B' }, 'option kvCacheMemory'],
    ['fewer tokens per step than sequences', { maxNumSeqs: 64, maxNumBatchedTokens: 8 }, 'maxNumBatchedTokens'],
  ])('%s', async (_, options, message) => {
    await expect(openEngine(options)).rejects.toThrow(message)
  })
})

test('quantised weights answer nearly the same', async () => {
  const { engine, device } = await openEngine()
  const prompt = [5, 6, 7, 8, 9]
  addRequest(engine, 'f', prompt, { temperature: 0, maxTokens: 1, logprobs: 20 })
  const exact = (await drain(engine)).get('f/0')!.logprobs[0]!
  const quantized = await openEngine({ quantization: 'wint8' })
  expect(quantized.info.quantization).toBe('wint8')
  addRequest(quantized.engine, 'q', prompt, { temperature: 0, maxTokens: 1, logprobs: 20 })
  const rounded = (await drain(quantized.engine)).get('q/0')!.logprobs[0]!
  expect(Math.abs(rounded.logprob - exact.logprob)).toBeLessThan(0.3)
  expect(rounded.logprob).not.toBe(exact.logprob)
  device.close()
  quantized.device.close()
})

describe('the prefix cache', () => {
  const prompt = Array.from({ length: 50 }, (_, i) => (i * 7) % 150)

  test('finds prompts and answers again, and tells how much', async () => {
    const { engine, device } = await openEngine({ blockSize: 8 })
    const cached = new Map<string, number>()
    const ask = async (id: string, ids: readonly number[], scheduling = {}): Promise<Answer> => {
      addRequest(engine, id, ids, { temperature: 0, maxTokens: 10, logprobs: 2 }, scheduling)
      const answers = new Answers()
      while (engine.hasWork) {
        const outputs = await engine.step()
        for (const { numCachedTokens } of outputs) if (numCachedTokens !== undefined) cached.set(id, numCachedTokens)
        answers.take(outputs)
      }
      return answers.all.get(`${id}/0`)!
    }
    const first = await ask('first', prompt)
    expect(await ask('again', prompt)).toEqual(first)
    // the answer is text like any other: 50 + 9 computed tokens are 7 full blocks
    await ask('on', [...prompt, ...first.tokenIds, 1, 2, 3])
    expect(await ask('salted', prompt, { cacheSalt: 'x' })).toEqual(first)
    engine.resetPrefixCache()
    expect(await ask('reset', prompt)).toEqual(first)
    expect(Object.fromEntries(cached)).toEqual({ first: 0, again: 48, on: 56, salted: 0, reset: 0 })
    expect(engine.stats()).toMatchObject({ numQueriedTokens: 4 * 50 + 63, numCachedTokens: 104 })
    device.close()
  })

  test('can be switched off', async () => {
    const { engine, device } = await openEngine({ blockSize: 8, prefixCaching: false })
    for (const id of ['a', 'b']) {
      addRequest(engine, id, prompt, { maxTokens: 2, n: 2 })
      await drain(engine)
    }
    expect(engine.stats()).toMatchObject({ cachedBlocks: 0, numCachedTokens: 0 })
    device.close()
  })
})

test('a request that takes longer than its timeout ends with it, waiting or running', async () => {
  const { engine, device } = await openEngine({ maxNumSeqs: 1 })
  addRequest(engine, 'running', [5, 6, 7], { maxTokens: 4000, ignoreEos: true }, { timeout: 0.05 })
  addRequest(engine, 'waiting', [5, 6, 7], { n: 2 }, { timeout: 0.01 })
  addRequest(engine, 'patient', [5, 6, 7], { maxTokens: 3, ignoreEos: true }, { timeout: 1000 })
  const all = await drain(engine)
  expect(all.get('running/0')).toMatchObject({ finishReason: 'timeout' })
  expect(all.get('running/0')!.tokenIds.length).toBeGreaterThan(0)
  for (const index of [0, 1])
    expect(all.get(`waiting/${index}`)).toMatchObject({ finishReason: 'timeout', tokenIds: [] })
  expect(all.get('patient/0')).toMatchObject({ finishReason: 'length' })
  device.close()
})
