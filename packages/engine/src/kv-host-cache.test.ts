import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KvHostCache } from './kv-host-cache.ts'
import { addRequest, Answers, drain, openEngine } from './testing/harness.ts'

const nameOf = (key: string, parent = 'salt:', ids = [1, 2]) => ({ key, parent, ids })
const bytesOf = (value: number, length = 8): Uint8Array => new Uint8Array(length).fill(value)

describe('blocks in host memory', () => {
  test('are found by name, and believed only if parent and tokens are right', async () => {
    const cache = new KvHostCache(100, 8)
    cache.write(nameOf('a'), bytesOf(1))
    cache.write(nameOf('a'), bytesOf(2))
    expect(await cache.read(nameOf('a'))).toEqual(bytesOf(1))
    for (const other of [nameOf('b'), nameOf('a', 'x'), nameOf('a', 'salt:', [1, 3]), nameOf('a', 'salt:', [1, 2, 3])])
      expect(await cache.read(other)).toBeUndefined()
  })

  test('give way within the budget, the least recently used first', async () => {
    const cache = new KvHostCache(31, 8)
    for (const [i, key] of ['a', 'b', 'c'].entries()) cache.write(nameOf(key), bytesOf(i))
    await cache.read(nameOf('a'))
    cache.touch('b')
    cache.write(nameOf('d'), bytesOf(3))
    expect(['a', 'b', 'c', 'd'].filter((key) => cache.has(key))).toEqual(['a', 'b', 'd'])
    cache.write(nameOf('e'), bytesOf(4))
    expect(['a', 'b', 'd', 'e'].filter((key) => cache.has(key))).toEqual(['b', 'd', 'e'])
    const [b, d, e] = await Promise.all(['b', 'd', 'e'].map((key) => cache.read(nameOf(key))))
    expect([b, d, e]).toEqual([bytesOf(1), bytesOf(3), bytesOf(4)])
  })

  test('take memory as they come, and give it back at once', () => {
    const size = 2 ** 20
    const cache = new KvHostCache(2 ** 40, size)
    const rss = (): number => process.memoryUsage.rss() / size
    const before = rss()
    const block = bytesOf(7, size)
    for (let i = 0; i < 150; i++) cache.write(nameOf(String(i)), block)
    const full = rss()
    expect(full - before).toBeGreaterThan(140)
    expect(full - before).toBeLessThan(200)
    cache.clear()
    expect(full - rss()).toBeGreaterThan(140)
    expect(cache.numBlocks).toBe(0)
  })
})

describe('an engine with host memory', () => {
  const prompt = Array.from({ length: 40 }, (_, i) => (7 * i) % 150)
  const params = { maxTokens: 20, seed: 1, ignoreEos: true }
  let bytesPerToken = 0
  let expected: readonly number[] = []
  beforeAll(async () => {
    const { engine, info, device } = await openEngine({ maxModelLen: 64, prefixCaching: false })
    bytesPerToken = info.kvCacheBytes / info.kvCacheTokens
    addRequest(engine, 'x', prompt, params)
    expected = (await drain(engine)).get('x/0')!.tokenIds
    device.close()
  })
  const opened: { close(): void }[] = []
  afterAll(() => opened.forEach((device) => device.close()))

  /** Of little more than one sequence; a preempted one loses its blocks to the other. */
  async function open(kvHostCacheBytes: number | undefined) {
    const options = { maxModelLen: 64, blockSize: 4, maxNumSeqs: 1, kvCacheMemory: 64 * bytesPerToken }
    const { engine, device } = await openEngine({ ...options, ...(kvHostCacheBytes && { kvHostCacheBytes }) })
    opened.push(device)
    return engine
  }

  test.each([
    [undefined, 0],
    [1_000_000, 10],
  ])('of %j bytes: blocks of a preempted sequence that come back', async (bytes, least) => {
    const engine = await open(bytes)
    const answers = new Answers()
    addRequest(engine, 'x', prompt, params, { priority: 1 })
    for (let i = 0; i < 6; i++) answers.take(await engine.step())
    addRequest(
      engine,
      'urgent',
      prompt.map((id) => id + 1),
      params,
    )
    const all = await drain(engine, answers)
    expect(all.get('x/0')!.tokenIds).toEqual(expected)
    const { numPreemptions, numFetchedBlocks } = engine.stats()
    expect(numPreemptions).toBe(1)
    if (bytes === undefined) expect(numFetchedBlocks).toBe(0)
    else expect(numFetchedBlocks).toBeGreaterThanOrEqual(least)
  })

  test('options that cannot be are refused', async () => {
    await expect(open(1)).rejects.toThrow('option kvHostCacheBytes: 1 is less than one block')
    await expect(openEngine({ kvHostCacheBytes: '1GB', prefixCaching: false })).rejects.toThrow(
      'option kvHostCacheBytes needs prefixCaching',
    )
    await expect(openEngine({ kvHostCacheBytes: 'much' })).rejects.toThrow('"much" is not a number of bytes')
  })
})
