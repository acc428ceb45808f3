import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LLM } from '@slipway/engine'
import { serve, type RunningServer } from './index.ts'
import { attacks, fetchAttempts } from './testing/attacks.ts'
import { eventsOf, expectIdle, modelName, startModel } from './testing/harness.ts'
import type { ChatCompletionChunk } from './openai/answers.ts'

// Each attack is tried while somebody else's stream is under way, which must come out as it does alone.

const victim = {
  model: modelName,
  messages: [{ role: 'user', content: 'Tell me something nice.' }],
  temperature: 1,
  seed: 3,
  max_tokens: 48,
  ignore_eos: true,
  stream: true,
}

let llm: LLM
let server: RunningServer
let alone = ''
const errors: unknown[] = []

beforeAll(async () => {
  llm = startModel()
  await llm.ready
  const onInternalError = (error: unknown): void => void errors.push(error)
  server = await serve(llm, { port: 0, servedModelNames: [modelName], maxBodyBytes: 100_000, onInternalError })
  alone = await stream()
})
afterAll(async () => {
  await server.close()
  await llm.close()
})

async function stream(): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify(victim) }
  const events = eventsOf(await (await fetch(`${server.url}/v1/chat/completions`, init)).text())
  expect(events.at(-1)).toBe('[DONE]')
  return (events.slice(0, -1) as ChatCompletionChunk[]).map(({ choices }) => choices[0]?.delta.content ?? '').join('')
}

const kinds = [...new Set(attacks.map(({ kind }) => kind))]

describe.each(kinds)('%s', (kind) => {
  test.each(attacks.filter((attack) => attack.kind === kind))('$name', async ({ run, statuses }) => {
    const other = stream()
    const started = performance.now()
    const status = await run(server)
    expect(performance.now() - started).toBeLessThan(5000)
    expect(statuses).toContain(status)
    expect(await other).toBe(alone)
    expect(({} as { polluted?: number }).polluted).toBeUndefined()
    expect(errors).toEqual([])
    await expectIdle(llm)
  })
})

test('nothing that a request names is fetched', async () => {
  const { bodies, numAsked, close } = await fetchAttempts()
  for (const body of bodies) {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(`${server.url}/v1/chat/completions`, init)
    expect(response.status).toBe(400)
  }
  close()
  expect(numAsked()).toBe(0)
})

test('all at once hold up nobody', async () => {
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const others = [stream(), stream()]
  const statuses = await Promise.all(attacks.map(({ run }) => run(server)))
  expect(await Promise.all(others)).toEqual([alone, alone])
  delay.disable()
  expect(statuses.filter((status) => status >= 500)).toEqual([])
  expect(errors).toEqual([])
  // clients and server share this thread: half of it is theirs
  expect(delay.max / 1e6).toBeLessThan(3000)
  await expectIdle(llm)
})
