import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { miniModelDirectory } from '@slipway/mini'
import { SlipwayError } from '@slipway/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GenerationStream } from './generation-stream.ts'
import { LLM } from './index.ts'
import type { GenerationEvent, RequestOutput, SamplingParams } from './index.ts'
import type { LLMOptions } from './llm.ts'
import { tinyModel } from './testing/harness.ts'

// The offline API on the embedded model: real tokenizer, real worker thread.

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 512 })
})
afterAll(() => llm.close())

const user = (content: string) => [{ role: 'user', content }]
const textOf = (output: RequestOutput): string => output.outputs[0]!.text

async function collect(stream: AsyncIterable<GenerationEvent>): Promise<GenerationEvent[]> {
  const events: GenerationEvent[] = []
  for await (const event of stream) events.push(event)
  return events
}

/** Waits until the engine has nothing left, then tells its state; no block may be owned. */
async function idleStats(model: LLM) {
  for (;;) {
    const stats = await model.stats()
    if (stats.running + stats.waiting > 0) continue
    expect(stats.freeBlocks + stats.cachedBlocks + stats.ownedBlocks).toBe(stats.totalBlocks)
    expect(stats.ownedBlocks).toBe(0)
    return stats
  }
}

test('tells what it loaded', () => {
  expect(llm.state).toBe('ready')
  expect(llm.info).toMatchObject({
    architecture: 'Qwen3ForCausalLM',
    dtype: 'bfloat16',
    maxModelLen: 512,
    blockSize: 64,
  })
  expect(llm.info.numParameters).toBeGreaterThan(2e6)
})

describe('one prompt and many', () => {
  const params: SamplingParams = { temperature: 0, maxTokens: 12 }

  test('text, ids and lists agree', async () => {
    const one = await llm.generate('one two three', params)
    const ids = await llm.generate(llm.tokenizer.encode('one two three'), params)
    const [first, second] = await llm.generate(['one two three', 'a b c'], params)
    expect(textOf(ids)).toBe(textOf(one))
    expect(textOf(first!)).toBe(textOf(one))
    expect(textOf(second!)).not.toBe(textOf(one))
    expect(one.usage).toEqual({
      promptTokens: one.promptTokenIds.length,
      completionTokens: one.outputs[0]!.tokenIds.length,
      cachedTokens: 0,
    })
  })

  test('a stream carries the same text', async () => {
    const events = await collect(llm.generate('one two three', params, { stream: true }))
    const text = events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
    expect(text).toBe(textOf(await llm.generate('one two three', params)))
    expect(events.slice(-2).map((event) => event.type)).toEqual(['finish', 'usage'])
  })

  test('a stream over a list tells the prompts apart', async () => {
    const prompts = ['one two', 'three four', 'five six']
    const texts = ['', '', '']
    for await (const event of llm.generate(prompts, params, { stream: true }))
      if (event.type === 'delta') texts[event.prompt] += event.text
    expect(texts).toEqual((await llm.generate(prompts, params)).map(textOf))
  })

  test('chat renders the template', async () => {
    const single = await llm.chat(user('Hello!'), params)
    const [first] = await llm.chat([user('Hello!'), user('What is 3 + 4?')], params)
    expect(textOf(first!)).toBe(textOf(single))
    expect(llm.tokenizer.decode(single.promptTokenIds, { skipSpecialTokens: false })).toContain(
      '<|im_start|>user\nHello!',
    )
  })

  test('n completions of a prompt', async () => {
    const output = await llm.generate('one two', { n: 3, seed: 5, temperature: 2, maxTokens: 8 })
    expect(output.outputs.map(({ index }) => index)).toEqual([0, 1, 2])
    expect(new Set(output.outputs.map(({ text }) => text)).size).toBeGreaterThan(1)
  })
})

describe('eight chats at once give what each gives alone', () => {
  const asks = [
    'Hello!',
    'What is 3 + 4?',
    'Who are you?',
    'List three fruits.',
    'What is 12 + 30?',
    'Say hi',
    'Why?',
    'A joke',
  ]
  const params = (i: number): SamplingParams => ({
    seed: 100 + i,
    temperature: 0.8,
    topP: 0.95,
    maxTokens: 40,
    ignoreEos: true,
  })
  const stream = async (model: LLM, i: number): Promise<string> => {
    const events = await collect(model.chat(user(asks[i]!), params(i), { stream: true }))
    return events.map((event) => (event.type === 'delta' ? event.text : '')).join('')
  }

  test.each<[string, LLMOptions]>([
    ['as they come', {}],
    ['with prompts in chunks', { maxNumBatchedTokens: 9, maxNumSeqs: 8 }],
    // room for two long conversations: the others are preempted again and again
    ['with forced preemption', { maxModelLen: 96, blockSize: 4, maxNumSeqs: 8 }],
  ])('%s', async (_, options) => {
    const alone: string[] = []
    for (let i = 0; i < asks.length; i++) alone.push(await stream(llm, i))
    const forced = options.blockSize === 4
    const perToken = llm.info.kvCacheBytes / llm.info.kvCacheTokens
    const model = await LLM.load(miniModelDirectory, { ...options, ...(forced && { kvCacheMemory: 160 * perToken }) })
    expect(await Promise.all(asks.map((_ask, i) => stream(model, i)))).toEqual(alone)
    const stats = await idleStats(model)
    if (forced) expect(stats.numPreemptions).toBeGreaterThan(0)
    await model.close()
  })
})

describe('ends', () => {
  test('a stop string cuts the text and the engine', async () => {
    const free = textOf(await llm.generate('one two three', { temperature: 0, maxTokens: 24, ignoreEos: true }))
    const stop = free.slice(6, 9)
    const output = await llm.generate('one two three', { temperature: 0, maxTokens: 24, ignoreEos: true, stop })
    expect(output.outputs[0]).toMatchObject({
      text: free.slice(0, free.indexOf(stop)),
      finishReason: 'stop',
      stopReason: stop,
    })
    const kept = await llm.generate('one two three', {
      temperature: 0,
      maxTokens: 24,
      ignoreEos: true,
      stop,
      includeStopStrInOutput: true,
    })
    expect(textOf(kept)).toBe(free.slice(0, free.indexOf(stop) + stop.length))
    await idleStats(llm)
  })

  test('length, by maxTokens and by the model', async () => {
    const short = await llm.generate('one', { maxTokens: 3, ignoreEos: true })
    expect(short.outputs[0]).toMatchObject({ finishReason: 'length', stopReason: null })
    expect(short.usage.completionTokens).toBe(3)
    const ids = Array.from({ length: 500 }, () => 50)
    const full = await llm.generate(ids, { ignoreEos: true })
    expect(full.usage).toMatchObject({ promptTokens: 500, completionTokens: 12 })
  })

  test('abort: before, during, by signal, by leaving the loop', async () => {
    const long: SamplingParams = { maxTokens: 400, ignoreEos: true }
    const before = await collect(llm.generate('one', long, { stream: true, signal: AbortSignal.abort() }))
    expect(before).toMatchObject([{ type: 'finish', finishReason: 'abort' }, { type: 'usage' }])

    const controller = new AbortController()
    const events: GenerationEvent[] = []
    for await (const event of llm.generate('one', long, { stream: true, signal: controller.signal })) {
      events.push(event)
      if (events.length === 3) controller.abort()
    }
    expect(events.at(-2)).toMatchObject({ type: 'finish', finishReason: 'abort' })
    expect(events.length).toBeLessThan(60)

    for await (const event of llm.generate('one', long, { stream: true })) if (event.type === 'delta') break

    const reason = new Error('enough')
    const rejecting = new AbortController()
    const list = llm.generate(['one', 'two', 'three'], long, { signal: rejecting.signal })
    rejecting.abort(reason)
    await expect(list).rejects.toBe(reason)
    for await (const event of llm.generate(['one', 'two'], long, { stream: true })) if (event.type === 'delta') break
    await idleStats(llm)
  })
})

test('logprobs name the tokens, best first, and agree with the greedy choice', async () => {
  const { outputs } = await llm.chat(user('Hello!'), { temperature: 0, maxTokens: 6, logprobs: 3 })
  const { tokenIds, logprobs } = outputs[0]!
  expect(logprobs).toHaveLength(tokenIds.length)
  for (const [i, { tokenId, token, logprob, rank, top }] of logprobs!.entries()) {
    expect(tokenId).toBe(tokenIds[i])
    expect(token).toBe(llm.tokenizer.decode([tokenId], { skipSpecialTokens: false }))
    expect(rank).toBe(1)
    expect(top[0]).toEqual({ tokenId, token, logprob })
    expect(top.map((entry) => entry.logprob)).toEqual(top.map((entry) => entry.logprob).sort((a, b) => b - a))
    expect(top.reduce((sum, entry) => sum + Math.exp(entry.logprob), 0)).toBeLessThanOrEqual(1 + 1e-6)
  }
})

describe('refuses, and goes on', () => {
  test.each<[string, () => unknown, string]>([
    ['an empty prompt', () => llm.submit([]), 'the prompt is empty'],
    ['a prompt that is too long', () => llm.submit(Array.from({ length: 512 }, () => 5)), '512 tokens'],
    ['an id outside the vocabulary', () => llm.submit([1e6]), 'token id 1000000'],
    ['half an id', () => llm.submit([1.5]), 'token id 1.5'],
    ['a bad parameter', () => llm.submit('x', { temperature: -1 }), 'temperature'],
    ['an unknown parameter', () => llm.submit('x', { beams: 3 } as never), 'beams'],
  ])('%s', async (_, act, message) => {
    expect(act).toThrow(message)
    expect(textOf(await llm.generate('one', { maxTokens: 2 }))).toBeTypeOf('string')
  })

  test('more requests than may wait', async () => {
    const model = await LLM.load(miniModelDirectory, { maxNumSeqs: 1, maxWaitingRequests: 2, maxModelLen: 128 })
    const submit = (user = '') => model.submit('one', { maxTokens: 20, ignoreEos: true }, { user })
    const streams = [submit(), submit()]
    // one that runs and half of the queue
    expect(() => submit()).toThrow('2 requests without a user are under way, as many as may be; try again later')
    streams.push(submit('else'))
    expect(() => submit('other')).toThrow('3 requests are under way; try again later')
    await Promise.all(streams.map((stream) => stream.result()))
    // lists feed themselves and never overflow
    expect(await model.generate(['a', 'b', 'c', 'd', 'e', 'f'], { maxTokens: 2 })).toHaveLength(6)
    await model.close()
  })

  test('one user with thousands leaves the queue to others', async () => {
    const options = { maxNumSeqs: 2, maxWaitingRequests: 20, maxWaitingPerUser: 5, maxModelLen: 128 }
    const model = await LLM.load(miniModelDirectory, options)
    const submit = (user: string) => model.submit('one', { maxTokens: 4, ignoreEos: true }, { user })
    const flood = (): number => {
      for (let i = 0; i < 3000; i++)
        try {
          streams.push(submit('flood'))
        } catch (error) {
          expect(error).toMatchObject({ kind: 'overload', details: { param: 'user', retryAfter: 1 } })
        }
      return streams.length
    }
    const streams: GenerationStream[] = []
    expect(flood()).toBe(7)
    const others = ['a', 'b', 'c'].map(submit)
    await Promise.all([...streams, ...others].map((stream) => stream.result()))
    // places come back as requests end
    expect(flood()).toBe(14)
    await Promise.all(streams.slice(7).map((stream) => stream.result()))
    // and lists of one user never overflow
    expect(await model.generate(Array(40).fill('a'), { maxTokens: 1 })).toHaveLength(40)
    await model.close()
  })

  test('models that cannot be loaded, with the reason', async () => {
    await expect(LLM.load('/no/such/model')).rejects.toThrow('/no/such/model')
    await expect(LLM.load(tinyModel)).rejects.toThrow('tokenizer.json')
    const folder = await mkdtemp(join(tmpdir(), 'slipway-llm-'))
    await writeFile(join(folder, 'config.json'), '{"model_type": "qwen3"')
    const broken = LLM.start(folder)
    await expect(broken.ready).rejects.toThrow(/tokenizer|config/)
    expect(broken.state).toBe('failed')
    expect(SlipwayError.is(broken.failure)).toBe(true)
    await broken.close()
    await rm(folder, { recursive: true })
  })
})

test('close ends what is under way, once', async () => {
  const model = LLM.start(miniModelDirectory, { maxModelLen: 256 })
  expect(model.state).toBe('loading')
  expect(() => model.submit('too early')).toThrow('loading')
  await model.ready
  const events = collect(model.generate('one', { maxTokens: 200, ignoreEos: true }, { stream: true }))
  const outcome = events.then(
    (list) => list.at(-2),
    (error: unknown) => error,
  )
  await model.close()
  expect(await outcome).toSatisfy((end: unknown) => SlipwayError.is(end) || (end as GenerationEvent).type === 'finish')
  expect(model.state).toBe('closed')
})

test('200 requests with random aborts leave memory and blocks as they were', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const burst = (round: number) =>
    Promise.all(
      Array.from({ length: 200 }, async (_, i) => {
        const stream = llm.submit('one two three', { maxTokens: 1 + (i % 20), seed: i + round, ignoreEos: true })
        if (i % 3 === 0) setTimeout(() => stream.abort(), (i * 7) % 300)
        const { outputs } = await stream.result()
        expect(['length', 'abort']).toContain(outputs[0]!.finishReason)
      }),
    )
  await burst(0)
  await burst(1)
  await idleStats(llm)
  collectGarbage()
  const before = process.memoryUsage.rss()
  await burst(2)
  await idleStats(llm)
  collectGarbage()
  expect(process.memoryUsage.rss()).toBeLessThan(before * 1.05)
})
