import { expect, test } from 'vitest'
import { BlockPool } from './block-pool.ts'
import { Engine } from './engine.ts'
import { PrefixCache, sha256Key } from './prefix-cache.ts'
import { KvHostCache } from './kv-host-cache.ts'
import { KvTier } from './kv-tier.ts'
import { Scheduler } from './scheduler.ts'
import type { EngineRequest } from './sequence.ts'
import { Answers } from './testing/harness.ts'
import { expectedTokens, ModelRunner, requestOf } from './testing/kv-model.ts'
import { randomIntegers, repetitions } from './testing/random.ts'

// The whole engine over keys and values that are plain numbers: random traffic, every invariant after every step.

// SLIPWAY_MODEL_STEPS=100000 for the long run
const numSteps = repetitions('SLIPWAY_MODEL_STEPS', 6000)
const stepsPerRound = 500

/** An engine with random settings; odd rounds meet collisions of the hash all the time. */
function openRound(round: number, random: (n: number) => number) {
  const blockSize = 1 + random(8)
  const maxLength = 60
  const numBlocks = Math.ceil(maxLength / blockSize) + random(40)
  const weak = (parent: string, ids: readonly number[]): string => `#${sha256Key(parent, ids).charCodeAt(0)}`
  const cache = random(6) === 0 ? undefined : new PrefixCache(blockSize, round % 2 ? weak : sha256Key)
  const pool = new BlockPool(numBlocks, blockSize, cache)
  const maxNumSeqs = 1 + random(6)
  const stepBudgetMs = random(2) ? undefined : 1 + random(40)
  const limits = { maxNumSeqs, maxNumBatchedTokens: maxNumSeqs + random(40), stepBudgetMs }
  const runner = new ModelRunner(numBlocks, blockSize, () => scheduler.running)
  const { memory } = runner
  // blocks behind the cache are known by their hash, so it has to be a good one
  const host =
    cache && round % 4 === 0
      ? new KvHostCache((1 + random(60)) * memory.bytesPerBlock, memory.bytesPerBlock)
      : undefined
  const tier = host && new KvTier({ host, pool, cache: cache!, memory })
  const scheduler: Scheduler = new Scheduler(pool, limits, tier)
  const time = { now: 0 }
  const engine = new Engine({ pool, scheduler, runner, tier, eosIds: [], clock: () => time.now })
  return { pool, scheduler, runner, engine, limits, time, maxLength, cache }
}

/** An `expect` for every step would take longer than the step. */
function holds(condition: boolean, otherwise: string): void {
  if (!condition) throw new Error(otherwise)
}

function randomRequest(id: string, random: (n: number) => number, maxLength: number): EngineRequest {
  const length = 1 + random(maxLength - 10)
  // few tokens and much repetition: texts begin alike
  const kind = random(3)
  const prompt = Array.from({ length }, (_, i) => (kind === 0 ? 1 : i < length - 4 ? i % 3 : random(3)))
  const maxTokens = 1 + random(maxLength - length)
  return requestOf(
    id,
    prompt,
    { maxTokens, seed: random(4), n: random(5) === 0 ? 1 + random(4) : 1 },
    {
      user: ['', 'a', 'b', 'c'][random(4)],
      priority: random(4) === 0 ? random(3) - 1 : 0,
      cacheSalt: random(8) === 0 ? 'salt' : '',
      ...(random(6) === 0 && { timeout: (1 + random(60)) / 1000 }),
    },
  )
}

test(`${numSteps} steps of random traffic keep every invariant`, async () => {
  const random = randomIntegers(3)
  const seen = { preemptions: 0, cached: 0, timeouts: 0, aborts: 0, resets: 0, parked: 0, fetched: 0, pauses: 0 }
  for (let round = 0; round * stepsPerRound < numSteps; round++) {
    const { pool, scheduler, runner, engine, limits, time, maxLength, cache } = openRound(round, random)
    const requests = new Map<string, EngineRequest>()
    const answers = new Answers()
    const aborted = new Set<string>()
    const abort = (): void => {
      const outputs = engine.abort(String(random(requests.size + 1)), random(2) ? undefined : random(3))
      for (const { requestId, index } of outputs) aborted.add(`${requestId}/${index}`)
      seen.aborts += outputs.length
      answers.take(outputs)
    }
    // commands also come while the device computes
    runner.onRun = () => {
      if (random(20) === 0) abort()
      if (random(60) === 0) engine.resetPrefixCache()
      time.now += 1 + random(3)
    }
    for (let step = 0; step <= stepsPerRound || engine.hasWork; step++) {
      if (step === stepsPerRound) engine.release()
      holds(step < stepsPerRound + 20_000, 'it does not end')
      if (step < stepsPerRound && random(4) === 0) {
        const request = randomRequest(String(requests.size), random, maxLength)
        requests.set(request.requestId, request)
        engine.add(request)
      }
      if (random(30) === 0) abort()
      if (random(100) === 0) {
        engine.resetPrefixCache()
        expect(pool.numCached).toBe(0)
        seen.resets++
      }
      if (random(200) === 0) {
        // as before sleep
        await engine.exclusively(() => Promise.resolve(scheduler.preemptAll()))
        expect(pool.numOwned).toBe(0)
      }
      if (step < stepsPerRound && random(100) === 0) {
        if (random(2)) engine.freeze()
        else engine.hold()
        seen.pauses++
      } else if (random(10) === 0) engine.release()
      // a machine that stands still has time, too
      if (!engine.hasWork) time.now++
      const rows = runner.numRows
      answers.take(await engine.step())
      pool.check(scheduler.running)
      const { running, waiting } = scheduler
      holds(running.length <= limits.maxNumSeqs, 'too many run')
      holds(runner.numRows - rows <= limits.maxNumBatchedTokens, 'a step is too large')
      holds(
        [...waiting].every(({ blocks }) => blocks.length === 0),
        'a waiting sequence owns blocks',
      )
      holds(
        running.every(({ tokens, numComputed }) => numComputed < tokens.length),
        'nothing is left to compute',
      )
    }
    engine.checkIdle()
    expect(pool.numOwned).toBe(0)
    if (!cache) expect(scheduler.numCachedTokens).toBe(0)
    for (const [id, request] of requests)
      for (let index = 0; index < request.params.n; index++) {
        const { tokenIds, finishReason } = answers.all.get(`${id}/${index}`)!
        const expected = expectedTokens(request, index)
        expect(tokenIds).toEqual(expected.slice(0, tokenIds.length))
        if (finishReason === 'timeout') seen.timeouts++
        else expect(finishReason).toBe(aborted.has(`${id}/${index}`) ? 'abort' : 'length')
        if (finishReason === 'length') expect(tokenIds.length).toBe(expected.length)
        if (finishReason === 'timeout') expect(request.scheduling.timeout).toBeDefined()
      }
    const { numParkedBlocks, numFetchedBlocks } = engine.stats()
    seen.parked += numParkedBlocks
    seen.fetched += numFetchedBlocks
    seen.preemptions += scheduler.numPreemptions
    seen.cached += scheduler.numCachedTokens
  }
  // the traffic must have met what it is there for
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(5)
})
