import { once } from 'node:events'
import { request } from 'node:http'
import { connect } from 'node:net'
import { LLM } from '@slipway/engine'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { eventsOf, expectIdle, modelName, startModel, untilBusy } from './testing/harness.ts'
import type { ChatCompletionChunk } from './openai/answers.ts'
import { serve, type RunningServer } from './index.ts'

const messages = [{ role: 'user', content: 'Hello! Who are you?' }]
const chat = { model: modelName, messages, temperature: 1, seed: 7, max_tokens: 16 }

function ask(
  server: RunningServer,
  body: object,
  init: RequestInit = {},
  path = '/v1/chat/completions',
): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return fetch(server.url + path, { method: 'POST', headers, body: JSON.stringify(body), ...init })
}

function contentOf(stream: string): string {
  const chunks = eventsOf(stream).slice(0, -1) as ChatCompletionChunk[]
  return chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
}

/** A small generator, so that a failing run can be found again. */
function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

describe('a server with a model', () => {
  let llm: LLM
  let server: RunningServer

  beforeAll(async () => {
    llm = startModel()
    await llm.ready
    server = await serve(llm, { port: 0, servedModelNames: [modelName], maxBodyBytes: 10_000 })
  })
  afterEach(() => expectIdle(llm))
  afterAll(async () => {
    await server.close()
    await llm.close()
  })

  test('the url is that of the socket', () => {
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
  })

  test('a body in chunks is bounded while it comes, and the server lives on', async () => {
    const outgoing = request(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
    })
    outgoing.on('error', () => {})
    const answered = once(outgoing, 'response') as Promise<[{ statusCode: number }]>
    for (let i = 0; i < 20 && outgoing.writable; i++) outgoing.write(' '.repeat(1000))
    expect((await answered)[0].statusCode).toBe(413)
    outgoing.destroy()
    expect((await ask(server, chat)).status).toBe(200)
  })

  test('a page cannot post without being asked', async () => {
    const plain = await ask(server, chat, { headers: { 'content-type': 'text/plain' } })
    expect(plain.status).toBe(415)
  })

  test('what is not HTTP, or has a broken host, gets 400', async () => {
    for (const text of ['rubbish\r\n\r\n', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n']) {
      const socket = connect(server.port, '127.0.0.1')
      socket.end(text)
      const [data] = (await once(socket, 'data')) as [Buffer]
      expect(data.toString()).toMatch(/^HTTP\/1\.1 400 /)
      socket.destroy()
    }
    expect((await fetch(`${server.url}/health`)).status).toBe(200)
  })

  test('8 streams at once give the texts that each gives alone', async () => {
    const bodies = Array.from({ length: 8 }, (_, i) => ({
      ...chat,
      messages: [{ role: 'user', content: `Say ${'something '.repeat(i * 3)}nice.` }],
      seed: i,
      max_tokens: 16,
      stream: true,
      ignore_eos: true,
    }))
    const alone: string[] = []
    for (const body of bodies) alone.push(contentOf(await (await ask(server, body)).text()))
    const together = await Promise.all(bodies.map(async (body) => contentOf(await (await ask(server, body)).text())))
    expect(together).toEqual(alone)
    expect(new Set(alone).size).toBe(8)
  })

  test('a client that goes ends its request within a step', async () => {
    const long = { ...chat, max_tokens: 400, ignore_eos: true }
    for (const stream of [true, false]) {
      const { numSteps: before } = await llm.stats()
      const abort = new AbortController()
      const answer = ask(server, { ...long, stream }, { signal: abort.signal }).then((response) => response.text())
      answer.catch(() => {})
      await untilBusy(llm)
      abort.abort()
      await expect(answer).rejects.toThrow()
      const { numSteps } = await expectIdle(llm)
      expect(numSteps - before).toBeLessThan(400)
    }
  })

  test('a slow reader gets all of its text', async () => {
    const body = { ...chat, max_tokens: 60, ignore_eos: true, stream: true }
    const text = await (await ask(server, body)).text()
    const reader = (await ask(server, body)).body!.getReader()
    const decoder = new TextDecoder()
    let slow = ''
    for (let i = 0; ; i++) {
      if (i < 5) await new Promise((resolve) => setTimeout(resolve, 50))
      const { done, value } = await reader.read()
      if (done) break
      slow += decoder.decode(value, { stream: true })
    }
    expect(contentOf(slow)).toBe(contentOf(text))
  })

  test('200 requests, many of them left at random, lose no block', async () => {
    const random = randomNumbers(5)
    let finished = 0
    let left = 0
    const one = async (i: number): Promise<void> => {
      const abort = new AbortController()
      const body = {
        ...chat,
        messages: [{ role: 'user', content: 'word '.repeat(1 + Math.floor(random() * 20)) }],
        seed: i,
        n: random() < 0.2 ? 2 : 1,
        max_tokens: 1 + Math.floor(random() * 12),
        stream: random() < 0.7,
      }
      const timer = random() < 0.6 ? setTimeout(() => abort.abort(), random() ** 2 * 60) : undefined
      try {
        const response = await ask(server, body, { signal: abort.signal })
        expect(response.status).toBe(200)
        await response.text()
        finished++
      } catch (error) {
        if (!abort.signal.aborted) throw error
        left++
      } finally {
        clearTimeout(timer)
      }
    }
    let next = 0
    const work = async (): Promise<void> => {
      while (next < 200) await one(next++)
    }
    await Promise.all(Array.from({ length: 16 }, work))
    expect(finished + left).toBe(200)
    expect(left).toBeGreaterThan(10)
    expect(finished).toBeGreaterThan(10)
    const { freeBlocks, cachedBlocks, totalBlocks } = await expectIdle(llm)
    expect(freeBlocks + cachedBlocks).toBe(totalBlocks)
  })
})

describe('begin and end', () => {
  test('it answers while the model loads', async () => {
    await using llm = startModel()
    const server = await serve(llm, { port: 0, servedModelNames: [modelName] })
    const health = await fetch(`${server.url}/health`)
    expect(health.status).toBe(503)
    expect(health.headers.get('retry-after')).toBe('1')
    expect(await health.json()).toMatchObject({
      status: 'loading',
      progress: { stage: expect.any(String) as unknown, done: expect.any(Number) as unknown },
    })
    const early = await ask(server, chat)
    expect(early.status).toBe(503)
    expect(early.headers.get('retry-after')).toBe('1')
    expect(await early.json()).toMatchObject({ error: { type: 'server_error', code: 'model_loading' } })
    expect(await (await fetch(server.url)).json()).toMatchObject({ status: 'loading', models: [] })
    await llm.ready
    expect(await (await fetch(`${server.url}/health`)).json()).toEqual({ status: 'ready' })
    expect((await ask(server, chat)).status).toBe(200)
    await server.close()
  })

  test('it tells that the model failed, but not why', async () => {
    const llm = LLM.start('/nowhere/secret')
    const server = await serve(llm, { port: 0 })
    await llm.ready.catch(() => {})
    const health = await fetch(`${server.url}/health`)
    expect(health.status).toBe(503)
    expect(await health.json()).toEqual({ status: 'failed' })
    const answer = await ask(server, chat)
    expect(answer.status).toBe(503)
    const text = await answer.text()
    expect(text).toContain('model_failed')
    expect(text).not.toContain('secret')
    await server.close()
    await llm.close()
  })

  test('closing lets requests end, and ends those that take too long', async () => {
    await using llm = startModel()
    await llm.ready
    const patient = await serve(llm, { port: 0, servedModelNames: [modelName], drainSeconds: 30 })
    const answer = ask(patient, { ...chat, max_tokens: 40, ignore_eos: true })
    await untilBusy(llm)
    const closing = patient.close()
    expect((await answer).status).toBe(200)
    await closing
    await expect(ask(patient, chat)).rejects.toThrow()

    const hasty = await serve(llm, { port: 0, servedModelNames: [modelName], drainSeconds: 0 })
    const long = { ...chat, max_tokens: 480, ignore_eos: true }
    const stream = await ask(hasty, { ...long, stream: true })
    const whole = ask(hasty, long)
    await untilBusy(llm, 2)
    const started = performance.now()
    await hasty.close()
    expect(performance.now() - started).toBeLessThan(3000)
    const last = eventsOf(await stream.text()).at(-1)
    expect(last).toMatchObject({ error: { code: 'aborted' } })
    expect((await whole).status).toBe(503)
    await expectIdle(llm)
  })

  test('a port that is in use is named', async () => {
    await using llm = startModel()
    const server = await serve(llm, { port: 0, host: '0.0.0.0' })
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
    await expect(serve(llm, { port: server.port, host: '0.0.0.0' })).rejects.toThrow(
      `port ${server.port} is in use; choose another with --port`,
    )
    await expect(serve(llm, { port: 0, host: 'no.such.host.invalid' })).rejects.toMatchObject({ kind: 'request' })
    await server.close()
  })

  test('a stream that waits has its headers and role, and is kept alive by pings', async () => {
    await using llm = startModel({ maxNumSeqs: 1 })
    await llm.ready
    const server = await serve(llm, { port: 0, servedModelNames: [modelName], heartbeatSeconds: 0.01 })
    const first = ask(server, { ...chat, max_tokens: 100, ignore_eos: true, stream: true }).then((r) => r.text())
    await untilBusy(llm)
    // it cannot run before the first one ends
    const second = await ask(server, { ...chat, stream: true })
    expect((await llm.stats()).waiting).toBe(1)
    const text = await second.text()
    expect(text).toMatch(/^data: \{.*"role":"assistant".*\}\n\n: ping\n\n/)
    expect(contentOf(text)).not.toBe('')
    await first
    await server.close()
  })

  test('a queue that is full says so', async () => {
    await using llm = startModel({ maxNumSeqs: 1, maxWaitingRequests: 1 })
    await llm.ready
    const server = await serve(llm, { port: 0, servedModelNames: [modelName] })
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask(server, { ...chat, ignore_eos: true })))
    const refused = answers.filter(({ status }) => status === 429)
    expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(2)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused[0]!.headers.get('retry-after')).toBe('1')
    expect(await refused[0]!.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
    // of several prompts the first ones are given up as well
    const many = { model: modelName, prompt: ['a', 'b', 'c', 'd'], max_tokens: 4 }
    expect((await ask(server, many, {}, '/v1/completions')).status).toBe(429)
    await expectIdle(llm)
    await server.close()
  })
})

describe('little memory', () => {
  test('chunked prefill and preemption change no text', async () => {
    const bodies = Array.from({ length: 8 }, (_, i) => ({
      ...chat,
      messages: [{ role: 'user', content: `Count ${'and count '.repeat(8 + i)}` }],
      seed: i,
      max_tokens: 48,
      stream: true,
      ignore_eos: true,
    }))
    const run = async (llm: LLM): Promise<string[]> => {
      const server = await serve(llm, { port: 0, servedModelNames: [modelName] })
      const texts = await Promise.all(bodies.map(async (body) => contentOf(await (await ask(server, body)).text())))
      await server.close()
      return texts
    }
    await using roomy = startModel({ maxModelLen: 128 })
    await roomy.ready
    const { kvCacheBytes, numBlocks } = roomy.info
    // room for two whole sequences, and prompts in pieces of at most 16 tokens
    const kvCacheMemory = (kvCacheBytes / numBlocks) * 16
    await using tight = startModel({ maxModelLen: 128, maxNumBatchedTokens: 16, kvCacheMemory })
    await tight.ready
    expect(await run(tight)).toEqual(await run(roomy))
    expect((await expectIdle(tight)).numPreemptions).toBeGreaterThan(0)
    expect((await expectIdle(roomy)).numPreemptions).toBe(0)
  })
})
