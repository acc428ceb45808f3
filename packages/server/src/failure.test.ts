import { connect } from 'node:net'
import { ChatTemplate, Tokenizer } from '@slipway/checkpoint'
import { ChatAnswer, type GenerationEvent, type LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { SlipwayError } from '@slipway/tensor'
import type { Logger } from 'pino'
import { describe, expect, test, vi } from 'vitest'
import { createApp } from './app.ts'
import { serve } from './serve.ts'
import { eventsOf, post } from './testing/harness.ts'

// a model that goes wrong in ways that the real one should not

const body = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
const delta: GenerationEvent = { type: 'delta', index: 0, text: 'Hi', tokenIds: [1] }
const failed: GenerationEvent = { type: 'finish', index: 0, finishReason: 'error', stopReason: null }

const tokenizer = await Tokenizer.load(miniModelDirectory)
const chatTemplate = await ChatTemplate.load(miniModelDirectory)

const newAnswer = (): ChatAnswer =>
  new ChatAnswer({
    tokenizer,
    decode: {},
    reasoning: undefined,
    promptEndsInThinking: false,
    toolFormat: undefined,
    tools: [],
  })

function fakeModel(events: () => AsyncGenerator<GenerationEvent>) {
  const abort = vi.fn()
  const stream = {
    promptTokenIds: [1],
    requestId: 'r',
    usage: { promptTokens: 1, completionTokens: 1, cachedTokens: 0 },
    timing: { submittedAt: 0, gaps: [] },
    finishReasons: ['error'],
    abort,
    [Symbol.asyncIterator]: events,
    async result() {
      const outputs = []
      for await (const event of events())
        if (event.type === 'finish') outputs.push({ ...event, text: '', tokenIds: [] })
      return { outputs }
    },
  }
  const llm = {
    state: 'ready',
    info: { model: 'm', directory: '/models/m', maxModelLen: 100 },
    tokenizer,
    chatTemplate,
    loras: [],
    planChat: () => ({ prompt: [1], params: {}, newAnswer }),
    submit: () => stream,
  }
  return { llm: llm as unknown as LLM, abort }
}

function brokenApp(events: () => AsyncGenerator<GenerationEvent>) {
  const { llm, abort } = fakeModel(events)
  const onInternalError = vi.fn()
  return { app: createApp(llm, { onInternalError }), onInternalError, abort }
}

const endings: [string, () => AsyncGenerator<GenerationEvent>][] = [
  [
    'throws',
    async function* () {
      yield delta
      throw new SlipwayError('device', 'secret: out of memory at /dev/x')
    },
  ],
  [
    'ends with an error',
    async function* () {
      yield delta
      yield failed
    },
  ],
]

describe.each(endings)('an engine that %s', (_, events) => {
  test('is 500 without the reason, which the log gets', async () => {
    const { app, onInternalError, abort } = brokenApp(events)
    const response = await post(app, '/v1/chat/completions', body)
    expect(response.status).toBe(500)
    const text = await response.text()
    expect(text).not.toContain('secret')
    expect(text).toContain(response.headers.get('x-request-id'))
    expect(onInternalError).toHaveBeenCalledTimes(1)
    expect(onInternalError.mock.calls[0]).toEqual([expect.any(SlipwayError), response.headers.get('x-request-id')])
    expect(abort).toHaveBeenCalled()
  })

  test('ends a stream with an error', async () => {
    const { app, onInternalError, abort } = brokenApp(events)
    const response = await post(app, '/v1/chat/completions', { ...body, stream: true })
    expect(response.status).toBe(200)
    const all = eventsOf(await response.text())
    expect(all).toHaveLength(3)
    expect(all.at(-1)).toMatchObject({ error: { type: 'server_error', code: 'internal_error' } })
    expect(JSON.stringify(all)).not.toContain('secret')
    expect(onInternalError).toHaveBeenCalledTimes(1)
    expect(abort).toHaveBeenCalled()
  })
})

test('a reader that stops holds up the generation, and ends it when it goes', async () => {
  let made = 0
  const { llm, abort } = fakeModel(async function* () {
    for (; ; made++) yield { ...delta, text: 'x'.repeat(100_000) }
  })
  const server = await serve(llm, { port: 0 })
  const socket = connect(server.port, '127.0.0.1')
  const text = JSON.stringify({ ...body, stream: true })
  const head = ['POST /v1/chat/completions HTTP/1.1', 'Host: localhost', 'Content-Type: application/json']
  socket.write([...head, `Content-Length: ${text.length}`, '', text].join('\r\n'))
  // until nothing moves any more: the buffers of both ends are full
  const counts = [0]
  while (counts.at(-1) === 0 || counts.at(-1) !== counts.at(-2)) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    counts.push(made)
  }
  expect(made).toBeLessThan(500) // 50 MB
  expect(abort).not.toHaveBeenCalled()
  socket.destroy()
  await vi.waitFor(() => expect(abort).toHaveBeenCalled())
  await server.close()
})

test('without a hook the log gets it', async () => {
  const error = vi.fn()
  const logger = { error, isLevelEnabled: () => false } as unknown as Logger
  const llm = {
    get state(): never {
      throw new Error('bug')
    },
  }
  const response = await createApp(llm as unknown as LLM, { logger, servedModelNames: ['m'] }).request('/health')
  expect(response.status).toBe(500)
  expect(error).toHaveBeenCalledTimes(1)
  expect(error.mock.calls[0]).toMatchObject([{ requestId: response.headers.get('x-request-id') }, 'request failed'])
})

test('a model from the hub is served under its name there', async () => {
  const { app } = brokenApp(endings[0]![1])
  expect(await (await app.request('/v1/models/m')).json()).toMatchObject({ id: 'm' })
})
