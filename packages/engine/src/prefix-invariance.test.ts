import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { miniModelDirectory } from '@slipway/mini'
import { cpuAvailable } from '@slipway/tensor'
import type { ResolvedBeamSearch } from './beam-search-params.ts'
import type { EngineOptions } from './options.ts'
import type { SamplingParams } from './sampling-params.ts'
import type { SchedulingOptions } from './scheduling-options.ts'
import { addRequest, Answers, openEngine, type Answer } from './testing/harness.ts'
import { randomIntegers, repetitions } from './testing/random.ts'

// Contract 1 over the cache: tokens and logprobs of a request that found its beginning cached have the bits of one
// that computed it, whatever the chunks, blocks, neighbours, preemptions and resets.

const numRequests = repetitions('SLIPWAY_CACHE_REQUESTS', 160)
const device = cpuAvailable().available ? 'cpu' : 'reference'
const fixture = (name: string): string => new URL(`../../models/fixtures/${name}`, import.meta.url).pathname

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-kv-'))
})
afterAll(() => rm(folder, { recursive: true }))

interface Ask {
  readonly prompt: readonly number[]
  readonly params: SamplingParams
  readonly scheduling: SchedulingOptions
  readonly beamSearch?: ResolvedBeamSearch
}

/** Of the embedded model; where they leave one token, it comes without being drawn. */
const grammars: NonNullable<SamplingParams['structuredOutputs']>[] = [
  { choice: ['zqxjvkw zqxjvkwp', 'zqxy'] },
  { regex: '(xqzj|[a-c]{2,5}vqk)*' },
  { json: { type: 'object', properties: { zq: { type: 'integer' } }, required: ['zq'] }, disableAnyWhitespace: true },
]

/** Texts that begin alike at random places: branches of one tree. */
function randomAsks(count: number, random: (n: number) => number, hasText: boolean): Ask[] {
  const texts: number[][] = [[5, 6, 7]]
  return Array.from({ length: count }, () => {
    const stem = texts[random(texts.length)]!
    const prompt = [...stem.slice(0, 1 + random(stem.length)), ...Array.from({ length: random(24) }, () => random(150))]
    if (prompt.length > 72) prompt.length = 72
    texts.push(prompt)
    if (random(12) === 0) {
      const beamWidth = 1 + random(4)
      return {
        prompt,
        params: { maxTokens: 1 + random(12), n: 1 + random(beamWidth), stopTokenIds: [random(150), random(150)] },
        scheduling: {},
        beamSearch: { beamWidth, lengthPenalty: random(3), earlyStopping: [true, false, 'never' as const][random(3)]! },
      }
    }
    return {
      prompt,
      params: {
        maxTokens: 1 + random(12),
        seed: random(1000),
        temperature: random(3) / 2,
        n: random(6) === 0 ? 2 + random(2) : 1,
        ...(random(2) === 0 && { logprobs: 2 }),
        ...(random(4) === 0 && { repetitionPenalty: 1.2 }),
        ...(random(4) === 0 && { typicalP: 0.5 }),
        ...(random(4) === 0 && { promptLogprobs: random(3) }),
        ...(hasText && random(2) === 0 && { structuredOutputs: grammars[random(grammars.length)] }),
        ...(random(6) === 0 && { allowedTokenIds: Array.from({ length: 40 }, () => random(150)) }),
        ...(random(4) === 0 && { badWordsTokenIds: [random(150), [random(150), random(150)]] }),
        ...(random(6) === 0 && { bestOf: 3, n: 2 }),
        ...(random(6) === 0 && { earlyStop: { windowSize: 1 + random(3), threshold: 0.1 } }),
      },
      scheduling: { user: String(random(3)), priority: random(8) === 0 ? 1 : 0, cacheSalt: random(9) === 0 ? 'x' : '' },
    }
  })
}

async function answer(asks: readonly Ask[], options: EngineOptions, model: string, random: (n: number) => number) {
  const { engine, device: opened } = await openEngine({ device, maxModelLen: 96, ...options }, model)
  const answers = new Answers()
  let next = 0
  let numAhead = 0
  while (next < asks.length || engine.hasWork) {
    for (let arrivals = random(4); arrivals > 0 && next < asks.length; arrivals--, next++) {
      const { prompt, params, scheduling, beamSearch } = asks[next]!
      addRequest(engine, String(next), prompt, params, scheduling, beamSearch && { beamSearch })
    }
    if (random(20) === 0) {
      await engine.flush()
      engine.resetPrefixCache()
    }
    // files are read and written meanwhile
    await new Promise(setImmediate)
    const outputs = engine.hasWork ? await engine.step() : []
    answers.take(outputs)
    // beams come whole
    for (const { tokenIds, score } of outputs) if (score === undefined) numAhead += Math.max(0, tokenIds.length - 1)
  }
  engine.checkIdle()
  await engine.flush()
  const stats = engine.stats()
  await engine.close()
  opened.close()
  return { all: answers.all, stats, numAhead }
}

function randomSettings(round: number, random: (n: number) => number, bytesPerToken: number): EngineOptions {
  const maxNumSeqs = 2 + random(7)
  return {
    blockSize: [1, 4, 8, 16, 24][random(5)]!,
    maxNumSeqs,
    maxNumBatchedTokens: maxNumSeqs + random(60),
    // from little more than one sequence to plenty
    kvCacheMemory: bytesPerToken * (120 + (round % 3) * 200),
    threads: 1 + random(2),
    ...(random(2) === 0 && { stepBudgetMs: 1 + random(5) }),
    // two rounds after one another find what the other wrote, whatever the timing
    ...(round % 2 === 0 && { kvDiskCache: { directory: join(folder, String((round >> 2) % 3)), bytes: '1MB' } }),
    // a block at least
    ...(round % 4 > 1 && { kvHostCacheBytes: bytesPerToken * (24 + random(600)) }),
  }
}

/**
 * In one order. A request of several completions fails as a whole, and then it depends on time how far the others have
 * come: of such it is the error that counts.
 */
function bySequence(all: Map<string, Answer>): [string, Answer | string][] {
  const requestOf = (key: string): string => key.split('/')[0]!
  const isOneOfMany = (key: string): boolean => all.has(`${requestOf(key)}/1`)
  const failed = new Map(
    [...all].flatMap(([key, { error }]) => (error && isOneOfMany(key) ? [[requestOf(key), error] as const] : [])),
  )
  const answers = [...all].filter(([key]) => !failed.has(requestOf(key)))
  return [...answers, ...failed].sort(([a], [b]) => (a < b ? -1 : 1))
}

const tiny: [string, string, boolean][] = [
  ['qwen3', fixture('qwen3'), false],
  ['sliding windows', fixture('qwen2-sliding'), false],
]
// without kernels it takes a minute and a half
const embedded: typeof tiny = device === 'cpu' ? [['the embedded model, with grammars,', miniModelDirectory, true]] : []

test.each([...tiny, ...embedded])(
  `${numRequests} requests to %s have the same bits with the cache as alone without it`,
  async (_, model, hasText) => {
    const random = randomIntegers(9)
    const { info, device: opened } = await openEngine({ device, maxModelLen: 96 }, model)
    opened.close()
    const bytesPerToken = info.kvCacheBytes / info.kvCacheTokens
    const met = { preemptions: 0, cached: 0, fetched: 0, parked: 0, ahead: 0 }
    // how many blocks come from tiers depends on the disk and on time, so there may be some more rounds
    const isShort = (): boolean => met.fetched <= 5 || met.parked <= 5
    for (let done = 0; done < numRequests || (isShort() && done < 4 * numRequests); done += 40) {
      const asks = randomAsks(40, random, hasText)
      const alone = await answer(asks, { prefixCaching: false, maxNumSeqs: 1 }, model, () => 1)
      expect(alone.stats.numCachedTokens).toBe(0)
      const cached = await answer(asks, randomSettings(done / 40, random, bytesPerToken), model, random)
      expect(bySequence(cached.all)).toEqual(bySequence(alone.all))
      met.preemptions += cached.stats.numPreemptions
      met.cached += cached.stats.numCachedTokens
      met.parked += cached.stats.numParkedBlocks
      met.fetched += cached.stats.numFetchedBlocks
      // alone there is always room for them, in a crowd seldom
      met.ahead += alone.numAhead + cached.numAhead
    }
    expect(met.cached).toBeGreaterThan(200)
    expect(met.preemptions).toBeGreaterThan(5)
    expect(met.fetched).toBeGreaterThan(5)
    expect(met.parked).toBeGreaterThan(5)
    if (hasText) expect(met.ahead).toBeGreaterThan(5)
    // a busy machine included
  },
  120_000 + 300 * numRequests,
)
