import { readFileSync } from 'node:fs'
import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import type { ResolvedBeamSearch } from './beam-search-params.ts'
import type { EngineOptions } from './options.ts'
import { addRequest, Answers, drain, openEngine } from './testing/harness.ts'
import { randomIntegers } from './testing/random.ts'

// Beam search against transformers' (tools/goldens/beams.py), and against itself in all kinds of company.

interface Case extends ResolvedBeamSearch {
  readonly prompt: readonly number[]
  readonly n: number
  readonly maxTokens: number
  readonly ends: readonly number[]
  readonly beams: readonly { readonly tokenIds: readonly number[]; readonly score: number }[]
}

const { models } = JSON.parse(readFileSync(new URL('../fixtures/beams.json', import.meta.url), 'utf8')) as {
  models: Record<string, Case[]>
}
const directoryOf = (name: string): string => new URL(`../../models/fixtures/${name}`, import.meta.url).pathname
const device = cpuAvailable().available ? 'cpu' : 'reference'

type Opened = Awaited<ReturnType<typeof openEngine>>

function ask({ engine }: Opened, id: string, { prompt, n, maxTokens, ends, ...beamSearch }: Case): void {
  addRequest(engine, id, prompt, { n, maxTokens, stopTokenIds: ends, ignoreEos: true }, {}, { beamSearch })
}

describe.each(Object.keys(models))('%s', (name) => {
  const cases = models[name]!

  test('gives the ids and scores of transformers', async () => {
    const opened = await openEngine({ device, blockSize: 8 }, directoryOf(name))
    for (const [i, one] of cases.entries()) ask(opened, String(i), one)
    const all = await drain(opened.engine)
    for (const [i, { beams, ends }] of cases.entries()) {
      const found = beams.map((_, index) => all.get(`${i}/${index}`)!)
      expect(found.map(({ tokenIds }) => tokenIds)).toEqual(beams.map(({ tokenIds }) => tokenIds))
      for (const [index, { tokenIds, score }] of beams.entries()) {
        // the golden's sums are float32
        expect(Math.abs(found[index]!.score! - score)).toBeLessThan(2e-5 + 2e-6 * Math.abs(score))
        expect(found[index]!.finishReason).toBe(ends.includes(tokenIds.at(-1)!) ? 'stop' : 'length')
      }
    }
    opened.device.close()
  })

  test.each<[string, EngineOptions]>([
    ['blocks of 1', { blockSize: 1 }],
    ['no prefix cache, two threads', { blockSize: 16, prefixCaching: false, threads: 2 }],
    ['less memory than the beams take', { blockSize: 4, kvCacheMemory: 0, maxNumSeqs: 6 }],
    ['fewer slots than beams', { blockSize: 8, maxNumSeqs: 2, maxNumBatchedTokens: 9 }],
  ])('has the same bits among others with %s', async (_, options) => {
    const alone = await openEngine({ device }, directoryOf(name))
    const bytesPerToken = alone.info.kvCacheBytes / alone.info.kvCacheTokens
    const some = cases.filter((_, i) => i % 3 === 0)
    const expected = new Answers()
    for (const [i, one] of some.entries()) {
      ask(alone, String(i), one)
      await drain(alone.engine, expected)
    }
    alone.device.close()
    const memory = options.kvCacheMemory === 0 && { kvCacheMemory: 100 * bytesPerToken }
    const crowd = await openEngine({ device, maxModelLen: 96, ...options, ...memory }, directoryOf(name))
    const random = randomIntegers(3)
    const answers = new Answers()
    for (let next = 0; next < some.length || crowd.engine.hasWork;) {
      if (next < some.length) ask(crowd, String(next), some[next++]!)
      const prompt = Array.from({ length: 1 + random(40) }, () => random(150))
      if (next < some.length)
        addRequest(crowd.engine, `other ${next}`, prompt, { maxTokens: 1 + random(20), seed: next })
      answers.take(await crowd.engine.step())
    }
    crowd.engine.checkIdle()
    for (const [key, answer] of expected.all) expect(answers.all.get(key)).toEqual(answer)
    crowd.device.close()
  })
})

test('an abort ends every answer once, wherever the beams are', async () => {
  const opened = await openEngine({ device, blockSize: 4, maxNumSeqs: 3 })
  const one = models['qwen3']!.find(({ beamWidth, n }) => beamWidth > 3 && n > 1)!
  for (let steps = 0; steps < 12; steps++) {
    ask(opened, 'x', { ...one, ends: [] })
    addRequest(opened.engine, 'other', [1, 2, 3], { maxTokens: 30 })
    const answers = new Answers()
    for (let i = 0; i < steps; i++) answers.take(await opened.engine.step())
    const outputs = opened.engine.abort('x')
    expect(outputs).toHaveLength(answers.all.has('x/0') ? 0 : one.n)
    answers.take(outputs)
    answers.take(opened.engine.abort('other'))
    opened.engine.checkIdle()
  }
  opened.device.close()
})
