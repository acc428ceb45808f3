import { miniModelDirectory } from '@slipway/mini'
import { LLM } from '@slipway/engine'
import { expect, test } from 'vitest'
import { serve } from './serve.ts'
import type { OpenApi } from './testing/fuzz/document.ts'
import { fuzz } from './testing/fuzz/fuzz.ts'
import { expectIdle, modelName } from './testing/harness.ts'

// SLIPWAY_FUZZ=10000 for the long run, SLIPWAY_FUZZ_SEED for other requests
const numRequests = Number(process.env['SLIPWAY_FUZZ'] ?? 400)
const seed = Number(process.env['SLIPWAY_FUZZ_SEED'] ?? 1)

const keys = { api: 'fuzz-key', admin: 'fuzz-admin-key' }
const tool = {
  name: 'add',
  description: 'adds',
  parameters: { type: 'object', properties: { a: { type: 'integer' } } },
}
const amounts = [1, 2, 3]
/** Names whose values say more than their type. */
const hints = {
  model: [modelName],
  id: [modelName],
  file: ['index.html', 'nothing.js'],
  prompt: ['Once', ['One', 'Two'], [100, 101], [[1, 2], [3]], 'a\u0000b'],
  input: [
    'Once',
    'Schnee',
    ['One', 'Two'],
    [{ role: 'user', content: 'Hi' }],
    [{ type: 'message', role: 'user', content: 'Hi' }],
  ],
  tokens: [[1, 2, 3], [], [100, 500]],
  max_tokens: amounts,
  max_completion_tokens: amounts,
  max_output_tokens: amounts,
  min_tokens: [0, 1],
  n: [1, 1, 2, 3],
  best_of: amounts,
  beam_width: [1, 2],
  temperature: [0, 1, 0.7, 2],
  top_p: [1, 0.9, 0.01],
  timeout: [5, 60],
  function: [tool],
  tools: [
    [{ type: 'function', function: tool }],
    [{ type: 'function', ...tool }],
    [{ name: 'add', input_schema: tool.parameters }],
    [],
  ],
  name: ['add', 'a name'],
  guided_regex: ['a+', '[0-9]{2}', '('],
  regex: ['(yes|no)'],
  grammar: ['root ::= "yes" | "no"'],
  guided_grammar: ['root ::= [a-z]'],
  directory: ['/nowhere', ''],
  dimensions: [1, 8, 10_000],
  logprobs: [true, false, 0, 3],
} as const

test(
  `${numRequests} requests made from the OpenAPI document find nothing that it does not say`,
  { timeout: 1_200_000 },
  async () => {
    const llm = await LLM.load(miniModelDirectory, { maxModelLen: 128, blockSize: 16, maxNumSeqs: 16 })
    const server = await serve(llm, {
      port: 0,
      servedModelNames: [modelName],
      apiKeys: [keys.api],
      adminKey: keys.admin,
      maxBodyBytes: 50_000,
      runtimeLora: true,
    })
    const send = async (path: string, key: string, body: object): Promise<Response> => {
      const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }
      return fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body) })
    }
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as OpenApi
    const canary = async (): Promise<string> => {
      const body = { model: modelName, prompt: 'Once upon a time', max_tokens: 12, seed: 3, temperature: 1 }
      const response = await send('/v1/completions', keys.api, body)
      expect(response.status).toBe(200)
      return ((await response.json()) as { choices: { text: string }[] }).choices[0]!.text
    }
    const restore = async (): Promise<void> => {
      if (llm.isSleeping) {
        // who has given the weights up wakes with them only
        await send('/update_weights', keys.admin, {})
        await send('/wake_up', keys.admin, {})
      }
      if (llm.isPaused) await send('/resume', keys.admin, {})
      expect([llm.isSleeping, llm.isPaused]).toEqual([false, false])
    }
    const before = await canary()
    const result = await fuzz({
      url: server.url,
      document,
      keys,
      hints,
      seed,
      numRequests,
      concurrency: 8,
      limit: 30_000,
      restore,
    })
    console.log(summaryOf(result))
    expect(result.faults.slice(0, 20).join('\n\n')).toBe('')
    // it was not all refused, and every operation was reached
    const counts = [...result.statuses.values()].flatMap((statuses) => [...statuses])
    const numTaken = counts.reduce((sum, [status, count]) => sum + (status === 200 ? count : 0), 0)
    expect(numTaken).toBeGreaterThan(numRequests / 6)
    expect(await canary()).toBe(before)
    await expectIdle(llm)
    await server.close()
    await llm.close()
  },
)

function summaryOf({ statuses, slowest }: Awaited<ReturnType<typeof fuzz>>): string {
  const lines = [...statuses].map(
    ([name, counts]) =>
      `${name}: ${[...counts]
        .sort()
        .map(([s, n]) => `${s} x ${n}`)
        .join(', ')}`,
  )
  return [...lines.sort(), `slowest answer: ${Math.round(slowest)} ms`].join('\n')
}
