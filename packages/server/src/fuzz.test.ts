import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { expect, test } from 'vitest'
import { serve } from './serve.ts'
import type { OpenApi } from './testing/fuzz/document.ts'
import { fuzz, type FuzzResult } from './testing/fuzz/fuzz.ts'
import { hints } from './testing/fuzz/hints.ts'
import { expectIdle, modelName } from './testing/harness.ts'
import { fixtureDirectory } from './testing/pooling-fixtures.ts'

// SLIPWAY_FUZZ=10000 for the long run, SLIPWAY_FUZZ_SEED for other requests
const numRequests = Number(process.env['SLIPWAY_FUZZ'] ?? 300)
const seed = Number(process.env['SLIPWAY_FUZZ_SEED'] ?? 1)

const keys = { api: 'fuzz-key', admin: 'fuzz-admin-key' }

interface Fuzzed {
  readonly name: string
  readonly directory: string
  /** Of all requests. */
  readonly share: number
  readonly tags?: readonly string[]
  /** A request whose answer must be the same at the end. */
  readonly probe: readonly [path: string, body: object]
  /** Of these operations at least one must have been answered with what was asked for. */
  readonly answered: RegExp
}

const everything: Fuzzed = {
  name: 'all routes',
  directory: miniModelDirectory,
  share: 0.8,
  probe: ['/v1/completions', { prompt: 'Once upon a time', max_tokens: 12, seed: 3, temperature: 1 }],
  answered: /^post_(v1_(chat_completions|completions|responses|messages)|tokenize|detokenize)$/,
}
const embedding: Fuzzed = {
  name: 'a model that embeds',
  directory: fixtureDirectory('bert-embed'),
  share: 0.1,
  tags: ['pooling'],
  probe: ['/v1/embeddings', { input: 'Once upon a time' }],
  answered: /embeddings|score|rerank/,
}
const classifying: Fuzzed = {
  name: 'a model that classifies',
  directory: fixtureDirectory('bert-classify'),
  share: 0.1,
  tags: ['pooling'],
  probe: ['/v1/classify', { input: 'Once upon a time' }],
  answered: /classify/,
}

test.each([everything, embedding, classifying])(
  'requests made from the OpenAPI document find nothing that it does not say: $name',
  { timeout: 1_200_000 },
  async ({ directory, share, tags, probe: [path, body], answered }) => {
    const llm = await LLM.load(directory, { maxModelLen: 128, blockSize: 16, maxNumSeqs: 16, packedCache: false })
    const batchDirectory = await mkdtemp(join(tmpdir(), 'slipway-fuzz-'))
    const server = await serve(llm, {
      batchDirectory,
      port: 0,
      servedModelNames: [modelName],
      apiKeys: [keys.api],
      adminKey: keys.admin,
      maxBodyBytes: 50_000,
      runtimeLora: true,
    })
    const send = (path: string, key: string, body: object): Promise<Response> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
      return fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    }
    const probe = async (): Promise<unknown> => {
      const answer = (await (await send(path, keys.api, { model: modelName, ...body })).json()) as object
      // without ids, times and what was cached
      return 'choices' in answer ? answer.choices : 'data' in answer ? answer.data : answer
    }
    const restore = async (): Promise<void> => {
      // who has given the weights up wakes with them only
      if (llm.isSleeping) await send('/update_weights', keys.admin, {})
      if (llm.isSleeping) await send('/wake_up', keys.admin, {})
      if (llm.isPaused) await send('/resume', keys.admin, {})
      expect([llm.isSleeping, llm.isPaused]).toEqual([false, false])
    }
    const before = await probe()
    expect(before).toBeInstanceOf(Array)
    const result = await fuzz({
      url: server.url,
      document: (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApi,
      keys,
      hints,
      seed,
      ...(tags && { tags }),
      numRequests: Math.max(100, numRequests * share),
      concurrency: 8,
      limit: 30_000,
      restore,
    })
    if (process.env['SLIPWAY_FUZZ']) console.log(summaryOf(result))
    expect(result.faults.slice(0, 20).join('\n\n')).toBe('')
    expect(await probe()).toEqual(before)
    await expectIdle(llm)
    await server.close()
    await llm.close()
    await rm(batchDirectory, { recursive: true })
    // not all was refused
    const taken = [...result.statuses].filter(([, counts]) => counts.has(200)).map(([name]) => name)
    expect(taken).toContainEqual(expect.stringMatching(answered))
  },
)

function summaryOf({ statuses, slowest }: FuzzResult): string {
  const total = [...statuses.values()].flatMap((counts) => [...counts.values()]).reduce((sum, count) => sum + count, 0)
  const lines = [...statuses].map(([name, counts]) => {
    const parts = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${status} x ${count}`)
    return `${name}: ${parts.join(', ')}`
  })
  return [
    `${total} requests`,
    ...lines.sort(),
    `slowest answer: ${Math.round(slowest.milliseconds)} ms for ${slowest.request}`,
  ].join('\n')
}
