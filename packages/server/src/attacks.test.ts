import { monitorEventLoopDelay } from 'node:perf_hooks'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LLM } from '@slipway/engine'
import { serve, type RunningServer, type ServerOptions } from './index.ts'
import { attacks, fetchAttempts, type Attack } from './testing/attacks.ts'
import { eventsOf, expectIdle, modelName, slowness, startModel } from './testing/harness.ts'
import { fixtureDirectory } from './testing/pooling-fixtures.ts'
import { attacksOn, embedding, generating } from './testing/route-attacks.ts'
import type { ChatCompletionChunk } from './openai/answers.ts'

// Each attack is tried while somebody else is being answered, who must get what he gets alone.

/** Milliseconds for all that a row sends: some of it is answered, which takes long without kernels. */
const limit = 5000 * slowness

const errors: unknown[] = []
const options: ServerOptions = {
  port: 0,
  servedModelNames: [modelName],
  maxBodyBytes: 100_000,
  onInternalError: (error) => void errors.push(error),
}

/** A server and somebody else who uses it. */
interface Ground {
  readonly llm: LLM
  readonly server: RunningServer
  /** What somebody else is told; the same every time. */
  readonly other: () => Promise<string>
}

async function ground(llm: LLM, path: string, body: object, read: (text: string) => string): Promise<Ground> {
  await llm.ready
  const server = await serve(llm, options)
  const headers = { 'content-type': 'application/json' }
  const init = { method: 'POST', headers, body: JSON.stringify({ model: modelName, ...body }) }
  return { llm, server, other: async () => read(await (await fetch(server.url + path, init)).text()) }
}

const streamed = (text: string): string => {
  const events = eventsOf(text)
  expect(events.at(-1)).toBe('[DONE]')
  return (events.slice(0, -1) as ChatCompletionChunk[]).map(({ choices }) => choices[0]?.delta.content ?? '').join('')
}

const victim = {
  messages: [{ role: 'user', content: 'Tell me something nice.' }],
  temperature: 1,
  seed: 3,
  max_tokens: 48,
  ignore_eos: true,
  stream: true,
}

let generates: Ground
let embeds: Ground
beforeAll(async () => {
  generates = await ground(startModel(), '/v1/chat/completions', victim, streamed)
  const embedder = LLM.start(fixtureDirectory('bert-embed'), { packedCache: false })
  embeds = await ground(embedder, '/v1/embeddings', { input: ['Something nice.', 'And more.'] }, (text) =>
    JSON.stringify((JSON.parse(text) as { data: unknown }).data),
  )
})
afterAll(async () => {
  for (const { server, llm } of [generates, embeds]) {
    await server.close()
    await llm.close()
  }
})

const rows: [string, () => Ground, readonly Attack[]][] = [
  ['a model that generates', () => generates, [...attacks, ...attacksOn(generating)]],
  ['a model that embeds', () => embeds, attacksOn(embedding)],
]

describe.each(rows)('%s', (_, groundOf, all) => {
  const kinds = [...new Set(all.map(({ kind }) => kind))]
  let alone = ''
  beforeAll(async () => void (alone = await groundOf().other()))

  describe.each(kinds)('%s', (kind) => {
    test.each(all.filter((attack) => attack.kind === kind))('$name', async ({ run, statuses }) => {
      const { llm, server, other } = groundOf()
      const another = other()
      const started = performance.now()
      const told = await run(server)
      expect(performance.now() - started).toBeLessThan(limit)
      expect(told.filter((status) => !statuses.includes(status))).toEqual([])
      expect(await another).toBe(alone)
      expect(({} as { polluted?: number }).polluted).toBeUndefined()
      expect(errors).toEqual([])
      await expectIdle(llm)
    })
  })
})

test('nothing that a request names is fetched', async () => {
  const { bodies, numAsked, close } = await fetchAttempts()
  for (const body of bodies) {
    const headers = { 'content-type': 'application/json' }
    const init = { method: 'POST', headers, body: JSON.stringify(body) }
    const response = await fetch(`${generates.server.url}/v1/chat/completions`, init)
    expect(response.status).toBe(400)
  }
  close()
  expect(numAsked()).toBe(0)
})

test('all at once hold up nobody', async () => {
  const { llm, server, other } = generates
  const alone = await other()
  const delay = monitorEventLoopDelay({ resolution: 10 })
  delay.enable()
  const others = [other(), other()]
  const statuses = await Promise.all(attacks.map(({ run }) => run(server)))
  expect(await Promise.all(others)).toEqual([alone, alone])
  delay.disable()
  expect(statuses.flat().filter((status) => status >= 500)).toEqual([])
  expect(errors).toEqual([])
  // clients and server share this thread: half of it is theirs
  expect(delay.max / 1e6).toBeLessThan(3000)
  await expectIdle(llm)
})
