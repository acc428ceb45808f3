import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Tokenizer } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { start } from '../testing/spawn.ts'
import { figuresOf, type LoadFigures } from './figures.ts'
import { arrivalTimes, Random } from './random.ts'
import { sessionsOf, type WorkloadOptions } from './workload.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-load-'))
})
afterAll(() => rm(folder, { recursive: true }))

type Result = LoadFigures & { readonly machine: object; readonly burstiness: number }

async function bench(args: readonly string[]): Promise<Result> {
  const [json, svg] = [join(folder, 'load.json'), join(folder, 'load.svg')]
  const { code, out, err } = await start(['bench', 'serve', ...args, '--json', json, '--svg', svg]).ended
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatch(/TTFT +\d/)
  expect(await readFile(svg, 'utf8')).toMatch(/^<svg [^]*E2E[^]*<\/svg>\n$/)
  return JSON.parse(await readFile(json, 'utf8')) as Result
}

describe('arrivals', () => {
  const pauses = (burstiness: number): { mean: number; variation: number } => {
    const times = arrivalTimes(20_001, 10, burstiness, new Random(7))
    const gaps = times.slice(1).map((time, i) => time - times[i]!)
    const mean = gaps.reduce((a, b) => a + b, 0) / gaps.length
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length
    return { mean, variation: Math.sqrt(variance) / mean }
  }

  // a gamma distribution of shape k varies by 1 / sqrt(k) of its mean
  test.each([0.25, 1, 4])('of burstiness %d have the rate and spread that they should', (burstiness) => {
    const { mean, variation } = pauses(burstiness)
    expect(Math.abs(mean - 100)).toBeLessThan(6)
    expect(Math.abs(variation * Math.sqrt(burstiness) - 1)).toBeLessThan(0.05)
  })

  test('are all at once without a rate', () => {
    expect(arrivalTimes(3, undefined, 1, new Random(0))).toEqual([0, 0, 0])
  })
})

describe('workloads', () => {
  const options: WorkloadOptions = {
    workload: 'random',
    numPrompts: 4,
    inputLen: 24,
    prefixLen: 40,
    turns: 3,
    requestRate: undefined,
    burstiness: 1,
    seed: 5,
  }

  test('have prompts of the length asked for, the same for the same seed', async () => {
    const tokenizer = await Tokenizer.load(miniModelDirectory)
    const sessions = sessionsOf(options, tokenizer)
    const lengths = sessions.map(({ turns }) => tokenizer.encode(turns[0]!, { addSpecialTokens: false }).length)
    expect(lengths).toEqual([24, 24, 24, 24])
    expect(sessionsOf(options, tokenizer)).toEqual(sessions)
    expect(sessionsOf({ ...options, seed: 6 }, tokenizer)).not.toEqual(sessions)
    expect(new Set(sessions.map(({ turns }) => turns[0])).size).toBe(4)
  })

  test('share a prefix, or go on for several turns', () => {
    const shared = sessionsOf({ ...options, workload: 'shared-prefix' }).map(({ turns }) => turns[0]!.split(' '))
    for (const prompt of shared) {
      expect(prompt).toHaveLength(64)
      expect(prompt.slice(0, 40)).toEqual(shared[0]!.slice(0, 40))
    }
    expect(shared[0]!.slice(40)).not.toEqual(shared[1]!.slice(40))
    expect(sessionsOf({ ...options, workload: 'multi-turn' }).map(({ turns }) => turns.length)).toEqual([3, 3, 3, 3])
  })
})

test('figures follow from what came when', () => {
  const usual = { promptTokens: 10, error: undefined, text: '' }
  const traces = [
    { ...usual, start: 0, arrivals: [100, 110, 130], newTokens: 4 },
    { ...usual, start: 50, arrivals: [350], newTokens: 1 },
    { ...usual, start: 60, arrivals: [], newTokens: 0, error: 'status 500' },
  ]
  const figures = figuresOf({ traces, duration: 2 }, { ttft: 200, tpot: 10 })
  expect(figures).toMatchObject({
    numRequests: 3,
    numFailed: 1,
    promptTokens: 20,
    newTokens: 5,
    requestsPerSecond: 1,
    newTokensPerSecond: 2.5,
    tokensPerSecond: 12.5,
    goodput: 0.5,
    ttft: { mean: 200, median: 200, p90: 280, p99: 298 },
    tpot: { mean: 10, median: 10 },
    itl: { mean: 15, median: 15, p90: 19 },
    e2e: { mean: 215 },
  })
  expect(figuresOf({ traces: [], duration: 1 })).toMatchObject({ ttft: null, goodput: null })
})

describe('the built-in model, served for the time', () => {
  test.each([
    ['random', [], 5],
    ['shared-prefix', ['--prefix-len', '64', '--max-concurrency', '2', '--endpoint', 'completions'], 5],
    ['multi-turn', ['--turns', '2'], 10],
    ['bursty', ['--request-rate', '50', '--goodput', 'ttft:60000', 'tpot:60000'], 5],
  ])('%s', async (workload, args, numRequests) => {
    const usual = ['--workload', workload, '--num-prompts', '5', '--input-len', '16', '--output-len', '6']
    const result = await bench([...usual, ...args])
    expect(result).toMatchObject({ numRequests, numFailed: 0, newTokens: 6 * numRequests })
    expect(result.promptTokens).toBeGreaterThanOrEqual(16 * numRequests)
    expect(result.newTokensPerSecond).toBeCloseTo(result.newTokens / result.duration)
    if (workload === 'bursty') {
      expect(result.burstiness).toBe(0.25)
      expect(result.goodput).toBeCloseTo(result.requestsPerSecond)
    } else expect(result.goodput).toBeNull()
  })
})

describe('a server elsewhere', () => {
  let server: Server
  let url = ''
  const seen: { key: string | undefined; body: Record<string, unknown> }[] = []
  // 60 ms to the first piece, 20 ms to each of three more; no usage, as of a plain server; every third request fails
  beforeAll(async () => {
    server = createServer(async (request, response) => {
      if (request.url === '/v1/models') return void response.end(JSON.stringify({ data: [{ id: 'theirs' }] }))
      const parts: Buffer[] = []
      for await (const part of request as AsyncIterable<Buffer>) parts.push(part)
      const body = JSON.parse(Buffer.concat(parts).toString()) as Record<string, unknown>
      seen.push({ key: request.headers.authorization, body })
      if (seen.length % 3 === 0) return void response.writeHead(500).end('no')
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const wait of [60, 20, 20, 20]) {
        await pause(wait)
        response.write(`data: ${JSON.stringify({ choices: [{ delta: { content: 'x' } }] })}\r\n\r\n`)
      }
      response.end('data: [DONE]\n\n')
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => {
    server.close()
    server.closeAllConnections()
  })

  test('is asked with key and name; its times are what they are, failures are counted', async () => {
    const json = join(folder, 'theirs.json')
    const args = ['--url', `${url}/`, '--api-key', 'sk-test', '--num-prompts', '5', '--max-concurrency', '1']
    const { code, out, err } = await start(['bench', 'serve', ...args, '--json', json]).ended
    expect(code).toBe(2)
    expect(err).toBe('failed: status 500: no\n')
    expect(out).toContain('theirs, random: 5 x 128 in')
    const result = JSON.parse(await readFile(json, 'utf8')) as Result
    // the first one warms up
    expect(result).toMatchObject({ numRequests: 5, numFailed: 2, newTokens: 12 })
    expect(result.ttft!.median).toBeGreaterThan(58)
    expect(result.tpot!.median).toBeGreaterThan(18)
    expect(result.e2e!.median).toBeGreaterThan(116)
    expect(seen.map(({ key }) => key)).toEqual(Array.from({ length: 6 }, () => 'Bearer sk-test'))
    expect(seen[0]!.body).toMatchObject({ model: 'theirs', stream: true, max_tokens: 64 })
    expect(seen[0]!.body).not.toHaveProperty('ignore_eos')
  })

  test('that is not there ends with one line', async () => {
    const gone = await start(['bench', 'serve', '--url', 'http://127.0.0.1:9']).ended
    expect(gone).toMatchObject({ code: 1, out: '' })
    expect(gone.err).toContain('--url: http://127.0.0.1:9/v1/models does not answer')
  })
})

test.each<[string[], string]>([
  [['--turns', '2'], '--turns: it belongs to --workload multi-turn'],
  [['--prefix-len', '2'], '--prefix-len: it belongs to --workload shared-prefix'],
  [['--workload', 'bursty'], 'give --request-rate'],
  [['--burstiness', '2'], '--burstiness: it needs --request-rate'],
  [['--request-rate', '0'], '--request-rate: 0 is not above 0'],
  [['--goodput', 'itl:4'], '"itl:4" is no goal'],
  [['--url', 'localhost:8000'], 'is no address'],
  [['--url', 'http://127.0.0.1:9', '--dtype', 'float32'], '--dtype: it is for a model that is served here'],
])('%j is refused', async (args, message) => {
  const { code, err } = await start(['bench', 'serve', ...args]).ended
  expect(code).toBe(1)
  expect(err).toContain(message)
})
