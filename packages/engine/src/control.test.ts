import { cp, mkdtemp, readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cpuAvailable } from '@slipway/tensor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GenerationStream } from './generation-stream.ts'
import { LLM, type LLMOptions } from './llm.ts'
import { randomCheckpoint } from './testing/checkpoints.ts'

let folder = ''
let first = ''
let second = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-control-'))
  first = await randomCheckpoint(join(folder, 'first'), 1)
  second = await randomCheckpoint(join(folder, 'second'), 2)
})
afterAll(() => rm(folder, { recursive: true }))

const options: LLMOptions = { maxModelLen: 256, blockSize: 8, maxNumSeqs: 4, kvCacheMemory: '16MB', packedCache: false }
const prompt = [...'a prompt of some tokens'].map((letter) => letter.charCodeAt(0))
const params = { maxTokens: 40, seed: 5, ignoreEos: true }

async function withModel(run: (llm: LLM) => Promise<void>, model = first, more: LLMOptions = {}): Promise<void> {
  const llm = await LLM.load(model, { ...options, ...more })
  try {
    await run(llm)
  } finally {
    await llm.close()
  }
}

const tokensOf = async (llm: LLM, ids = prompt): Promise<readonly number[]> =>
  (await llm.generate(ids, params)).outputs[0]!.tokenIds

const finished = async (stream: GenerationStream): Promise<string> => (await stream.result()).outputs[0]!.finishReason

const until = async (condition: () => Promise<boolean>): Promise<void> => {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** A request that is surely under way. */
async function underWay(llm: LLM): Promise<GenerationStream> {
  const before = (await llm.stats()).running
  const stream = llm.submit(prompt, { ...params, maxTokens: 200 })
  await until(async () => (await llm.stats()).running > before)
  return stream
}

describe('pause', () => {
  test('abort ends what runs; what comes later waits for resume', () =>
    withModel(async (llm) => {
      const expected = await tokensOf(llm)
      const running = await underWay(llm)
      await llm.pause()
      expect(await finished(running)).toBe('abort')
      expect(llm.isPaused).toBe(true)
      const steps = (await llm.stats()).numSteps
      let isDone = false
      const late = tokensOf(llm).finally(() => (isDone = true))
      await new Promise((resolve) => setTimeout(resolve, 100))
      expect(isDone).toBe(false)
      expect((await llm.stats()).numSteps).toBe(steps)
      await llm.resume()
      expect(await late).toEqual(expected)
      expect(llm.isPaused).toBe(false)
    }))

  test('wait lets what runs end, and only that', () =>
    withModel(async (llm) => {
      const running = await underWay(llm)
      const pausing = llm.pause({ mode: 'wait' })
      const late = llm.submit(prompt, params)
      await pausing
      expect(await finished(running)).toBe('length')
      expect(await llm.stats()).toMatchObject({ running: 0, waiting: 0, ownedBlocks: 0 })
      await llm.resume()
      expect(await finished(late)).toBe('length')
    }))

  test('keep freezes what runs, and it goes on to the same bits', () =>
    withModel(async (llm) => {
      const all = { ...params, maxTokens: 200 }
      const expected = (await llm.generate(prompt, all)).outputs[0]!.tokenIds
      const running = await underWay(llm)
      await llm.pause({ mode: 'keep', clearCache: true })
      const { running: kept, numSteps, cachedBlocks } = await llm.stats()
      expect({ kept, cachedBlocks }).toEqual({ kept: 1, cachedBlocks: 0 })
      await new Promise((resolve) => setTimeout(resolve, 50))
      expect((await llm.stats()).numSteps).toBe(numSteps)
      await llm.resume()
      expect((await running.result()).outputs[0]!.tokenIds).toEqual(expected)
    }))

  test('requests that wait meanwhile can be aborted, and time out', () =>
    withModel(async (llm) => {
      await llm.pause()
      const late = llm.submit(prompt, params, { timeout: 0.05 })
      const held = llm.submit(prompt, params)
      expect(await finished(late)).toBe('timeout')
      expect(await llm.abort([held.requestId, 'no such'])).toEqual([held.requestId])
      expect(await finished(held)).toBe('abort')
      await llm.resume()
      expect(await finished(llm.submit(prompt, params))).toBe('length')
    }))

  test('resuming twice, and while nothing is paused, changes nothing', () =>
    withModel(async (llm) => {
      await llm.resume()
      await llm.pause({ mode: 'wait' })
      await llm.pause({ mode: 'keep' })
      await llm.resume()
      await llm.resume()
      const kept = await underWay(llm)
      await llm.pause({ mode: 'keep' })
      await llm.pause({ mode: 'wait' })
      expect(await finished(kept)).toBe('length')
      await llm.resume()
      expect(await finished(llm.submit(prompt, params))).toBe('length')
      await expect(llm.pause({ mode: 'stop' as 'wait' })).rejects.toThrow('mode is "stop"; it must be one of abort')
    }))
})

describe('abort', () => {
  test('ends requests by id, or all', () =>
    withModel(async (llm) => {
      const streams = [await underWay(llm), await underWay(llm), await underWay(llm)]
      expect(await llm.abort([streams[1]!.requestId])).toHaveLength(1)
      expect(await finished(streams[1]!)).toBe('abort')
      expect(await llm.abort()).toHaveLength(2)
      expect(await Promise.all([streams[0]!, streams[2]!].map(finished))).toEqual(['abort', 'abort'])
      await until(async () => (await llm.stats()).ownedBlocks === 0)
      expect(await llm.abort()).toEqual([])
    }))
})

describe('sleep', () => {
  test('frozen requests go on after it, to the same bits', () =>
    withModel(async (llm) => {
      const all = { ...params, maxTokens: 200 }
      const expected = (await llm.generate(prompt, all)).outputs[0]!.tokenIds
      const running = await underWay(llm)
      await llm.sleep({ mode: 'keep' })
      expect(llm.isSleeping).toBe(true)
      expect(() => llm.submit(prompt, params)).toThrow('the engine sleeps')
      await expect(llm.resume()).rejects.toThrow('wake it instead')
      await llm.wake(['weights'])
      expect(llm.isSleeping).toBe(true)
      await llm.wake(['kv_cache'])
      expect(llm.isSleeping || llm.isPaused).toBe(false)
      expect((await running.result()).outputs[0]!.tokenIds).toEqual(expected)
      expect((await llm.stats()).numPreemptions).toBe(1)
    }))

  test('an engine that was paused before is paused after', () =>
    withModel(async (llm) => {
      await llm.pause()
      await llm.sleep()
      await llm.sleep()
      await llm.wake()
      expect(llm.isPaused).toBe(true)
      await llm.resume()
      await llm.sleep()
      await expect(llm.pause({ mode: 'wait' })).rejects.toThrow('wake it first')
      await llm.pause()
      await llm.wake()
      expect(llm.isPaused).toBe(true)
      await llm.resume()
      expect(await finished(llm.submit(prompt, params))).toBe('length')
    }))

  test('level 2 needs weights before it wakes', () =>
    withModel(async (llm) => {
      const expected = await tokensOf(llm)
      await llm.sleep({ level: 2 })
      await expect(llm.wake()).rejects.toThrow('has given the weights up')
      await llm.wake(['kv_cache'])
      await llm.updateWeights()
      await llm.wake()
      expect(await tokensOf(llm)).toEqual(expected)
    }))

  test('weights that changed meanwhile are not taken for the old ones', async () => {
    const copy = join(folder, 'changing')
    await cp(first, copy, { recursive: true })
    await withModel(async (llm) => {
      await llm.sleep()
      const time = new Date(1e12)
      await utimes(join(copy, 'model.safetensors'), time, time)
      await expect(llm.wake()).rejects.toThrow('the weights have changed while the engine slept')
      expect(llm.isSleeping).toBe(true)
      await llm.updateWeights()
      await llm.wake()
      expect(await finished(llm.submit(prompt, params))).toBe('length')
    }, copy)
  })

  test.runIf(cpuAvailable().available)('gives the memory of weights and cache back to the system', async () => {
    process.env['SLIPWAY_CACHE'] = join(folder, 'cache')
    const large = await randomCheckpoint(join(folder, 'large'), 3, 12_288)
    const settings = {
      maxNumSeqs: 8,
      kvCacheMemory: '60MB',
      kvCacheDtype: 'float32',
      blockSize: 64,
      maxModelLen: 1024,
      packedCache: true,
    } as const
    const rss = (): number => process.memoryUsage.rss() / 1e6
    await withModel(
      async (llm) => {
        const answers = async (): Promise<unknown> => {
          const prompts = Array.from({ length: 8 }, (_, i) =>
            Array.from({ length: 900 }, (_, j) => (7 * i + i * j + j) % 4000),
          )
          return (await llm.generate(prompts, { ...params, maxTokens: 2 })).map(({ outputs }) => outputs[0]!.tokenIds)
        }
        const expected = await answers()
        const { kvCacheBytes } = llm.info
        const stats = await llm.stats()
        const cached = (kvCacheBytes * stats.cachedBlocks) / stats.totalBlocks / 1e6
        expect(cached).toBeGreaterThan(20)
        const awake = rss()
        await llm.sleep()
        // 57 MB of weights in bf16
        expect(awake - rss()).toBeGreaterThan(0.9 * (57 + cached))
        await llm.wake()
        expect(await answers()).toEqual(expected)
        const again = rss()
        expect(again - awake).toBeLessThan(40)
        await llm.updateWeights()
        expect(rss() - again).toBeLessThan(40)
        expect(await answers()).toEqual(expected)
      },
      large,
      settings,
    )
  })
})

describe('updateWeights', () => {
  test('answers are those of the new weights, at once and without traces of the old', () =>
    withModel(async (llm) => {
      const old = await tokensOf(llm)
      expect(llm.info.updatedWeights).toBeNull()
      await llm.updateWeights(second)
      const name = llm.info.updatedWeights
      expect(name).toMatch(/^[0-9a-f]{16}$/)
      const now = await tokensOf(llm)
      expect(now).not.toEqual(old)
      await withModel(async (fresh) => expect(await tokensOf(fresh)).toEqual(now), second)
      await llm.updateWeights(first)
      expect(llm.info.updatedWeights).not.toBe(name)
      expect(await tokensOf(llm)).toEqual(old)
    }))

  test('blocks in host memory and on disk belong to their weights', () =>
    withModel(
      async (llm) => {
        const expected: (readonly number[])[] = []
        // the second round meets files of both
        for (let round = 0; round < 2; round++)
          for (const [i, directory] of [first, second].entries()) {
            await llm.updateWeights(directory)
            const tokens = await tokensOf(llm)
            expected[i] ??= tokens
            expect(tokens).toEqual(expected[i])
            await llm.resetPrefixCache()
            expect(await tokensOf(llm)).toEqual(tokens)
          }
        expect(expected[0]).not.toEqual(expected[1])
        expect((await llm.stats()).numFetchedBlocks).toBeGreaterThan(0)
      },
      first,
      { kvHostCacheBytes: '1MB', kvDiskCache: { directory: join(folder, 'kv') } },
    ))

  test('requests under way go on', () =>
    withModel(async (llm) => {
      const running = await underWay(llm)
      await llm.updateWeights(second)
      expect(await finished(running)).toBe('length')
    }))

  test('when it fails, the old weights stay', async () => {
    const damaged = join(folder, 'damaged')
    await cp(second, damaged, { recursive: true })
    await truncate(join(damaged, 'model.safetensors'), 2_000_000)
    const other = join(folder, 'other')
    await cp(second, other, { recursive: true })
    const config = JSON.parse(await readFile(join(other, 'config.json'), 'utf8')) as Record<string, unknown>
    await writeFile(join(other, 'config.json'), JSON.stringify({ ...config, rope_theta: 5e5, _name_or_path: 'x' }))
    await withModel(async (llm) => {
      const expected = await tokensOf(llm)
      const running = await underWay(llm)
      await expect(llm.updateWeights(join(folder, 'nowhere'))).rejects.toThrow('has no config.json')
      await expect(llm.updateWeights(damaged)).rejects.toThrow('model.safetensors')
      await expect(llm.updateWeights(other)).rejects.toThrow('weights can only be replaced by ones of the same config')
      expect(await finished(running)).toBe('length')
      expect(await tokensOf(llm)).toEqual(expected)
      expect(llm.info.updatedWeights).toBeNull()
    })
  })
})
