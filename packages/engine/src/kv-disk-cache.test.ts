import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KvDiskCache } from './kv-disk-cache.ts'
import type { EngineOptions } from './options.ts'
import { addRequest, Answers, openEngine, tinyModel, type Answer } from './testing/harness.ts'

let directory = ''
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-disk-'))
})
afterEach(() => rm(directory, { recursive: true }))

const block = (key: string) => ({ key, parent: 'salt:', ids: [1, 2, 3] })
const bytes = (fill: number): Uint8Array => new Uint8Array(1000).fill(fill)

async function filled(budget: number, ...keys: string[]): Promise<KvDiskCache> {
  const cache = await KvDiskCache.open(directory, budget, 'f')
  for (const [i, key] of keys.entries()) {
    cache.write(block(key), bytes(i))
    await cache.settled()
  }
  return cache
}

describe('files of blocks', () => {
  test('outlive the process, for the same fingerprint', async () => {
    const cache = await filled(1e6, 'a', 'b')
    expect(await cache.read(block('b'), 1000)).toEqual(Buffer.from(bytes(1)))
    const again = await KvDiskCache.open(directory, 1e6, 'f')
    expect(again.bytes).toBe(cache.bytes)
    expect(await again.read(block('a'), 1000)).toEqual(Buffer.from(bytes(0)))
    expect(await again.read(block('c'), 1000)).toBeUndefined()
    expect((await KvDiskCache.open(directory, 1e6, 'other')).has('a')).toBe(false)
    expect((await stat(join(directory, 'f'))).mode & 0o77).toBe(0)
  })

  test('that are damaged, cut off, or of another text, are a miss and go', async () => {
    const cache = await filled(1e6, 'flip', 'cut', 'ids', 'gone')
    const path = (key: string): string => join(directory, 'f', `${key}.kv`)
    const file = await readFile(path('flip'))
    file[file.length - 5]! ^= 1
    await writeFile(path('flip'), file)
    await writeFile(path('cut'), (await readFile(path('cut'))).subarray(0, 500))
    await rm(path('gone'))
    for (const key of ['flip', 'cut', 'gone']) expect(await cache.read(block(key), 1000)).toBeUndefined()
    expect(await cache.read({ ...block('ids'), ids: [1, 2, 4] }, 1000)).toBeUndefined()
    expect(await readdir(join(directory, 'f'))).toEqual([])
    expect(cache.bytes).toBe(0)
  })

  test('keep to the budget, those used last stay', async () => {
    const cache = await filled(4000, 'a', 'b', 'c')
    await cache.read(block('a'), 1000)
    cache.write(block('d'), bytes(3))
    await cache.settled()
    expect(['a', 'b', 'c', 'd'].filter((key) => cache.has(key))).toEqual(['a', 'c', 'd'])
    expect(cache.bytes).toBeLessThanOrEqual(4000)
    expect((await KvDiskCache.open(directory, 2500, 'f')).bytes).toBeLessThanOrEqual(2500)
    expect(await readdir(join(directory, 'f'))).toHaveLength(2)
  })

  test('what was being written when a process ended goes', async () => {
    await filled(1e6, 'a')
    await writeFile(join(directory, 'f', 'x.kv.1.tmp'), 'half')
    await KvDiskCache.open(directory, 1e6, 'f')
    expect(await readdir(join(directory, 'f'))).toEqual(['a.kv'])
  })

  test('a folder that cannot be used is named, and a disk that fails is no error', async () => {
    await writeFile(join(directory, 'file'), '')
    await expect(KvDiskCache.open(join(directory, 'file'), 1e6, 'f')).rejects.toThrow('option kvDiskCache.directory')
    const cache = await filled(1e6)
    await rm(join(directory, 'f'), { recursive: true })
    const warned = new Promise((resolve) => process.once('warning', resolve))
    cache.write(block('a'), bytes(0))
    await cache.settled()
    expect(String(await warned)).toContain('no longer written')
    expect(cache.has('a')).toBe(false)
  })
})

describe('an engine', () => {
  const prompt = Array.from({ length: 70 }, (_, i) => (i * 11) % 150)

  async function answer(options: EngineOptions, ids: readonly number[] = prompt): Promise<[Answer, number]> {
    const { engine, device } = await openEngine({ blockSize: 8, ...options })
    addRequest(engine, 'x', ids, { temperature: 1, maxTokens: 12, logprobs: 3, seed: 5 })
    const answers = new Answers()
    while (engine.hasWork) answers.take(await engine.step())
    await engine.flush()
    device.close()
    return [answers.all.get('x/0')!, engine.stats().numCachedTokens]
  }

  test('finds after a restart what it knew before, to the same bits', async () => {
    const kvDiskCache = { directory }
    const [fresh] = await answer({})
    expect(await answer({ kvDiskCache })).toEqual([fresh, 0])
    expect(await answer({ kvDiskCache })).toEqual([fresh, 64])
    // threads change no bit, other blocks and types do
    expect(await answer({ kvDiskCache, threads: 1 })).toEqual([fresh, 64])
    expect((await answer({ kvDiskCache, blockSize: 16 }))[1]).toBe(0)
    expect((await answer({ kvDiskCache, kvCacheDtype: 'bfloat16' }))[1]).toBe(0)
    const other = tinyModel.replace('qwen3', 'qwen2')
    const { engine, device } = await openEngine({ blockSize: 8, kvDiskCache }, other)
    addRequest(engine, 'y', prompt, { maxTokens: 2 })
    while (engine.hasWork) await engine.step()
    expect(engine.stats().numCachedTokens).toBe(0)
    device.close()
  })

  test('computes what a damaged file lacks', async () => {
    const kvDiskCache = { directory }
    const [fresh] = await answer({ kvDiskCache })
    const [folder] = await readdir(directory)
    const files = await readdir(join(directory, folder!))
    for (const file of files.filter((_, i) => i % 3 === 0)) await writeFile(join(directory, folder!, file), 'rubbish')
    const [again, numCached] = await answer({ kvDiskCache })
    expect(again).toEqual(fresh)
    expect(numCached).toBeLessThan(64)
  })

  test('ends a request that is aborted while its blocks are read', async () => {
    const kvDiskCache = { directory }
    await answer({ kvDiskCache })
    const { engine, device } = await openEngine({ blockSize: 8, kvDiskCache })
    addRequest(engine, 'x', prompt, { maxTokens: 2 })
    const step = engine.step()
    engine.abort('x')
    await step
    while (engine.hasWork) await engine.step()
    engine.checkIdle()
    device.close()
  })

  test.each<[string, EngineOptions, string]>([
    ['no cache in memory', { prefixCaching: false, kvDiskCache: { directory: '/x' } }, 'needs prefixCaching'],
    ['less than a block', { kvDiskCache: { directory: '/x', bytes: 10 } }, 'option kvDiskCache.bytes'],
    ['nonsense for bytes', { kvDiskCache: { directory: '/x', bytes: 'much' } }, 'option kvDiskCache.bytes'],
    [
      'a folder that cannot be made',
      { kvDiskCache: { directory: join(tinyModel, 'config.json') } },
      'option kvDiskCache.directory',
    ],
  ])('refuses %s', async (_, options, message) => {
    await expect(openEngine(options)).rejects.toThrow(message)
  })
})
