import type { LLM, GenerationEvent } from '@slipway/engine'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type RunningServer } from './index.ts'
import { expectIdle, modelName, startModel } from './testing/harness.ts'

const chat = { model: modelName, messages: [{ role: 'user', content: 'Hello! Who are you?' }], temperature: 0 }

let llm: LLM
let server: RunningServer
const crashes: number[] = []

beforeAll(async () => {
  llm = startModel({ onEngineCrash: (_, numRestarts) => crashes.push(numRestarts) })
  await llm.ready
  server = await serve(llm, { port: 0, servedModelNames: [modelName] })
})
afterAll(async () => {
  await server.close()
  await llm.close()
})

function ask(body: object): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  const text = JSON.stringify({ ...chat, ignore_eos: true, ...body })
  return fetch(`${server.url}/v1/chat/completions`, { method: 'POST', headers, body: text })
}

async function untilReady(): Promise<number> {
  const started = performance.now()
  while ((await fetch(`${server.url}/ready`)).status !== 200) await new Promise((resolve) => setTimeout(resolve, 10))
  return performance.now() - started
}

test('the engine killed 20 times under load: the server answers, every request ends once, and all is well again', async () => {
  const before = (await (await ask({ max_tokens: 16 })).json()) as { choices: unknown }
  const ends: Record<string, number> = {}
  const count = (end: string): number => (ends[end] = (ends[end] ?? 0) + 1)
  const over = new AbortController()
  let numAsked = 0
  const client = async (i: number): Promise<void> => {
    for (let round = 0; !over.signal.aborted; round++) {
      numAsked++
      const isStream = (i + round) % 2 === 0
      const response = await ask({ max_tokens: 5 + ((i * 7 + round) % 60), stream: isStream })
      const text = await response.text()
      if (response.status === 200) {
        const isWhole = isStream ? text.endsWith('data: [DONE]\n\n') : text.endsWith('}')
        const isBroken = text.includes('"code":"engine_restarting"')
        // the one or the other, never both
        expect([isWhole, isBroken].filter(Boolean), text.slice(-300)).toHaveLength(1)
        if (isStream) expect(text.match(/"finish_reason":"length"/g)?.length ?? 0).toBe(isBroken ? 0 : 1)
        count(isBroken ? 'broken stream' : 'whole')
      } else {
        expect(response.status).toBe(503)
        expect(JSON.parse(text)).toMatchObject({ error: { code: 'engine_restarting' } })
        expect(response.headers.get('retry-after')).toBe('1')
        count('refused')
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
    }
  }
  const clients = Array.from({ length: 8 }, (_, i) => client(i))
  const times: number[] = []
  for (let kill = 1; kill <= 20; kill++) {
    await new Promise((resolve) => setTimeout(resolve, 30 + ((kill * 37) % 120)))
    const died = llm.restartEngine()
    // it serves while there is no engine
    const [ready, health] = await Promise.all([fetch(`${server.url}/ready`), fetch(`${server.url}/health`), died])
    expect([200, 503]).toContain(ready.status)
    expect(health.status).toBe(200)
    times.push(await untilReady())
  }
  // a slow engine was killed before any answer had come to its end
  await expect.poll(() => ends['whole'] ?? 0, { timeout: 30_000 }).toBeGreaterThan(0)
  over.abort()
  await Promise.all(clients)
  expect(Object.values(ends).reduce((a, b) => a + b, 0)).toBe(numAsked)
  expect((ends['broken stream'] ?? 0) + (ends['refused'] ?? 0)).toBeGreaterThan(5)
  expect(crashes).toEqual(Array.from({ length: 20 }, (_, i) => i + 1))
  expect(Math.max(...times)).toBeLessThan(3000)
  console.log(`recovered in ${Math.round(Math.max(...times))} ms at most; ends: ${JSON.stringify(ends)}`)
  await expectIdle(llm)
  const after = (await (await ask({ max_tokens: 16 })).json()) as { choices: unknown }
  expect(after.choices).toEqual(before.choices)
  const metrics = await (await fetch(`${server.url}/metrics`)).text()
  expect(metrics).toMatch(/^slipway_engine_restarts_total\{.*\} 20$/m)
}, 120_000)

test('a stream read in this process breaks once, and the next one goes well', async () => {
  const stream = llm.submit('one two three', { maxTokens: 200, ignoreEos: true })
  const events: GenerationEvent[] = []
  const outcome = (async () => {
    for await (const event of stream) events.push(event)
  })().catch((error: unknown) => error)
  await expect.poll(() => events.length).toBeGreaterThan(0)
  await llm.restartEngine()
  expect(await outcome).toMatchObject({ details: { code: 'engine_restarting', status: 503 } })
  expect(events.filter(({ type }) => type === 'finish')).toEqual([])
  await untilReady()
  const { outputs } = await llm.generate('one two three', { maxTokens: 4, ignoreEos: true })
  expect(outputs[0]!.finishReason).toBe('length')
})
