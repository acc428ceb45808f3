import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import type { Engine, StepOutput } from '../engine.ts'
import type { EngineOptions } from '../options.ts'
import { addRequest, drain, openEngine, tinyModel } from '../testing/harness.ts'
import { fixture, readGolden } from '../testing/pooling-fixtures.ts'
import { resolveParams } from '../sampling-params.ts'
import { resolveScheduling, type SchedulingOptions } from '../scheduling-options.ts'
import { poolingRequestOf, resolvePoolingParams, type PoolingInfo, type PoolingTaskName } from './pooling-params.ts'
import type { PooledValues } from './row-pool.ts'

interface Text {
  readonly ids: readonly number[]
  readonly typeIds?: readonly number[]
}

function add(
  engine: Engine,
  requestId: string,
  { ids, typeIds }: Text,
  info: PoolingInfo,
  task: PoolingTaskName,
  scheduling: SchedulingOptions = {},
): void {
  engine.add({
    requestId,
    promptTokenIds: ids,
    params: { ...resolveParams({}, { vocabSize: 1 << 20, maxModelLen: 4096 }), seed: 0, maxTokens: 1 },
    scheduling: resolveScheduling(scheduling),
    pooling: poolingRequestOf(task, resolvePoolingParams({}, info), info, typeIds),
  })
}

/** Steps until nothing is left; results by request. */
async function collect(engine: Engine): Promise<Map<string, StepOutput>> {
  const outputs = new Map<string, StepOutput>()
  while (engine.hasWork)
    for (const output of await engine.step()) {
      expect(outputs.has(output.requestId), 'a request ends once').toBe(false)
      outputs.set(output.requestId, output)
    }
  engine.checkIdle()
  return outputs
}

/** All texts as one batch, or each alone, as the bytes of their results. */
async function pool(name: string, options: EngineOptions, alone: boolean, task: PoolingTaskName): Promise<string[]> {
  const { engine, info, device } = await openEngine({ packedCache: false, ...options }, fixture(name))
  const texts: Text[] = readGolden(name).cases
  const outputs = new Map<string, StepOutput>()
  for (const [i, text] of texts.entries()) {
    add(engine, String(i), text, info.pooling!, task)
    if (alone) for (const [id, output] of await collect(engine)) outputs.set(id, output)
  }
  for (const [id, output] of await collect(engine)) outputs.set(id, output)
  await engine.close()
  device.close()
  return texts.map((_, i) => bytesOf(outputs.get(String(i))!.pooled!))
}

function bytesOf({ values, rows, cols }: PooledValues): string {
  return `${rows}x${cols} ${Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')}`
}

const encoders = { 'bert-embed': 'embed', 'bert-tokens': 'token_classify', 'xlmr-rerank': 'score' } as const
const decoders = {
  'qwen3-embed': 'embed',
  'qwen2-classify': 'classify',
  'qwen2-process-reward': 'token_classify',
} as const
const { available } = cpuAvailable()
const threads = available ? [1, 2, 3] : [1]

describe.each(Object.entries(encoders))('%s', (name, task) => {
  test('each text alone, all together, in full steps or many, on any threads: the same bits', async () => {
    const expected = await pool(name, { threads: 1 }, true, task)
    for (const count of threads)
      for (const options of [{}, { maxNumSeqs: 2 }, { blockSize: 16 }, { maxNumBatchedTokens: 16 }])
        expect(await pool(name, { threads: count, ...options }, false, task)).toEqual(expected)
  })
})

describe.each(Object.entries(decoders))('%s', (name, task) => {
  test('each text alone, all together, in chunks, with cached beginnings, in few blocks: the same bits', async () => {
    const expected = await pool(name, { threads: 1, prefixCaching: false }, true, task)
    // blocks for little more than the longest text
    const tight = { kvCacheMemory: 2 * 16 * 2 * 16 * 4 * 14, blockSize: 16, maxModelLen: 192 }
    for (const count of threads)
      for (const options of [{}, { maxNumBatchedTokens: 16 }, { blockSize: 16, maxNumBatchedTokens: 33 }, tight])
        expect(await pool(name, { threads: count, ...options }, false, task)).toEqual(expected)
  })
})

test.each(['mean', 'cls', 'all'] as const)(
  'a decoder pooled by %s: chunks and cached beginnings change no bit',
  async (type) => {
    const task = type === 'all' ? 'token_embed' : 'embed'
    const expected = await pool('qwen3-embed', { pooling: { type }, prefixCaching: false }, true, task)
    // the second text of a run has the first one's blocks to its own beginning
    for (const options of [{}, { maxNumBatchedTokens: 16, blockSize: 4 }])
      expect(await pool('qwen3-embed', { pooling: { type }, ...options }, false, task)).toEqual(expected)
  },
)

test.each(['mean', 'last', 'all'] as const)('a text that gave way to another, pooled by %s', async (type) => {
  const options = { pooling: { type }, maxNumSeqs: 1, maxNumBatchedTokens: 16, blockSize: 4, packedCache: false }
  const { engine, info, device } = await openEngine(options, fixture('qwen3-embed'))
  const task = type === 'all' ? 'token_embed' : 'embed'
  const { cases } = readGolden('qwen3-embed')
  add(engine, 'alone', cases[5]!, info.pooling!, task)
  const alone = bytesOf((await collect(engine)).get('alone')!.pooled!)
  engine.resetPrefixCache()
  add(engine, 'preempted', cases[5]!, info.pooling!, task)
  expect([...(await engine.step()), ...(await engine.step())]).toEqual([])
  add(engine, 'urgent', cases[1]!, info.pooling!, task, { priority: -1 })
  const outputs = await collect(engine)
  expect(engine.stats().numPreemptions).toBe(1)
  expect([...outputs.keys()]).toEqual(['urgent', 'preempted'])
  expect(bytesOf(outputs.get('preempted')!.pooled!)).toBe(alone)
  device.close()
})

test('a text that was pooled by its last token is found in the prefix cache, to the same bits', async () => {
  const { engine, info, device } = await openEngine({ blockSize: 4, packedCache: false }, fixture('qwen3-embed'))
  const text = readGolden('qwen3-embed').cases[5]!
  add(engine, 'first', text, info.pooling!, 'embed')
  const first = (await collect(engine)).get('first')!
  add(engine, 'again', text, info.pooling!, 'embed')
  add(engine, 'all', text, info.pooling!, 'token_embed')
  const later = await collect(engine)
  expect(first.numCachedTokens).toBe(0)
  expect(later.get('again')!.numCachedTokens).toBe(Math.floor((text.ids.length - 1) / 4) * 4)
  expect(bytesOf(later.get('again')!.pooled!)).toBe(bytesOf(first.pooled!))
  // the states of all tokens have to be computed
  expect(later.get('all')).toMatchObject({ numCachedTokens: 0, pooled: { rows: text.ids.length } })
  device.close()
})

test('texts to continue and texts to embed share the steps of one engine', async () => {
  const { engine, info, device } = await openEngine({ blockSize: 16, maxNumBatchedTokens: 32, packedCache: false })
  const pooling: PoolingInfo = {
    type: 'last',
    normalize: true,
    activation: 'none',
    hiddenSize: 48,
    labels: [],
    stepTagId: null,
    returnedLabels: undefined,
    numTokenTypes: 1,
    maxTokens: info.maxModelLen,
  }
  const prompt = Array.from({ length: 50 }, (_, i) => (i * 7) % 160)
  addRequest(engine, 'text', prompt, { temperature: 0, maxTokens: 8, ignoreEos: true })
  const alone = (await drain(engine)).get('text/0')!.tokenIds
  add(engine, 'vector', { ids: prompt.slice(3) }, pooling, 'embed')
  const vector = bytesOf((await collect(engine)).get('vector')!.pooled!)

  engine.resetPrefixCache()
  addRequest(engine, 'text', prompt, { temperature: 0, maxTokens: 8, ignoreEos: true })
  add(engine, 'vector', { ids: prompt.slice(3) }, pooling, 'embed')
  const tokens: number[] = []
  let together = ''
  while (engine.hasWork)
    for (const { requestId, tokenIds, pooled } of await engine.step()) {
      if (requestId === 'text') tokens.push(...tokenIds)
      if (pooled) together = bytesOf(pooled)
    }
  expect(tokens).toEqual(alone)
  expect(together).toBe(vector)
  engine.checkIdle()
  device.close()
  expect(info.directory).toBe(tinyModel)
})

test('priority, abort and timeout hold for pooling requests', async () => {
  const { engine, info, device } = await openEngine({ maxNumSeqs: 1, packedCache: false }, fixture('bert-embed'))
  const [, text] = readGolden('bert-embed').cases
  for (const [id, scheduling] of [
    ['late', { priority: 1 }],
    ['first', { priority: -1 }],
    ['aborted', {}],
    ['too slow', { timeout: 0.05, priority: 2 }],
  ] as const)
    add(engine, id, text!, info.pooling!, 'embed', scheduling)
  expect(engine.abort('aborted')).toMatchObject([{ finish: { reason: 'abort' }, tokenIds: [] }])
  const [first] = await engine.step()
  expect(first).toMatchObject({ requestId: 'first', finish: { reason: 'stop' } })
  await new Promise((resolve) => setTimeout(resolve, 60))
  const rest = await collect(engine)
  expect([...rest.keys()].sort()).toEqual(['late', 'too slow'])
  expect(rest.get('too slow')).toMatchObject({ finish: { reason: 'timeout' } })
  device.close()
})
