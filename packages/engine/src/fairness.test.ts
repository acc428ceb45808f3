import { cpuAvailable } from '@slipway/tensor'
import { expect, test } from 'vitest'
import type { EngineOptions } from './options.ts'
import { addRequest, drain, openEngine } from './testing/harness.ts'

const slots = 8
const shapes: [string, EngineOptions][] = [
  ['slots are short', {}],
  ['steps are short as well', { maxNumBatchedTokens: 16 }],
  ['blocks are short', { maxModelLen: 128, kvCacheMemory: 300_000 }],
]

test.skipIf(!cpuAvailable().available).each(shapes)(
  'a real engine with 500 requests of one client answers another within a step per slot, with the bits it has alone: %s',
  async (_, more) => {
    const options = { maxNumSeqs: slots, maxNumBatchedTokens: 64, blockSize: 8, ...more }
    const prompt = Array.from({ length: 9 }, (_, i) => 40 + i)
    const params = { temperature: 1, seed: 3, maxTokens: 6, ignoreEos: true }
    const quiet = await openEngine(options)
    addRequest(quiet.engine, 'b', prompt, params)
    const alone = (await drain(quiet.engine)).get('b/0')!.tokenIds

    const { engine, info } = await openEngine(options)
    for (let i = 0; i < 500; i++) {
      const ids = Array.from({ length: 16 }, (_, k) => 20 + ((i + k * 7) % 50))
      addRequest(engine, `a${i}`, ids, { ...params, maxTokens: 100 }, { user: 'a' })
    }
    for (let step = 0; step < 40; step++) await engine.step()
    const { running, waiting } = engine.stats()
    expect([running > 1, running + waiting]).toEqual([true, 500])
    if (more.kvCacheMemory) expect(info.numBlocks * info.blockSize).toBeLessThan(slots * 116)

    addRequest(engine, 'b', prompt, params, { user: 'b' })
    const own: number[] = []
    let steps = 0
    for (; own.length === 0 && steps < 100; steps++)
      for (const { requestId, tokenIds } of await engine.step()) if (requestId === 'b') own.push(...tokenIds)
    expect(steps).toBeLessThanOrEqual(slots + 1)
    while (own.length < alone.length)
      for (const { requestId, tokenIds } of await engine.step()) if (requestId === 'b') own.push(...tokenIds)
    expect(own).toEqual(alone)
    engine.abortAll('abort')
    engine.checkIdle()
  },
)
