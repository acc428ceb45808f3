import type { LLM } from '@slipway/engine'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createApp } from './app.ts'
import { eventsOf, expectIdle, modelName, post, startModel } from './harness.test.util.ts'
import { maxJsonDepth } from './http/json-text.ts'
import type { ChatCompletion, ChatCompletionChunk } from './openai/chat.ts'
import type { Completion, CompletionChunk } from './openai/completions.ts'

const messages = [{ role: 'user', content: 'Hello!' }]
const chat = { model: modelName, messages, max_tokens: 8, seed: 1, temperature: 1 }
const completion = { model: modelName, prompt: 'Once upon a time', max_tokens: 8, seed: 1, temperature: 1 }
const maxBodyBytes = 20_000

let llm: LLM
let app: ReturnType<typeof createApp>
const onInternalError = vi.fn()

beforeAll(async () => {
  llm = startModel()
  await llm.ready
  app = createApp(llm, { servedModelNames: [modelName, 'org/alias'], maxBodyBytes, onInternalError })
})
afterEach(async () => {
  await expectIdle(llm)
  expect(onInternalError).not.toHaveBeenCalled()
})
afterAll(() => llm.close())

async function json<T>(response: Response | Promise<Response>): Promise<T> {
  return (await (await response).json()) as T
}

interface ErrorRow {
  readonly name: string
  readonly status: number
  readonly message: string
  readonly code?: string | null
  readonly param?: string | null
  readonly path?: string
  readonly body?: unknown
  readonly init?: RequestInit
  readonly headers?: Record<string, string>
}

const chatPath = '/v1/chat/completions'
const textPath = '/v1/completions'
const text = (type: string): RequestInit => ({ headers: { 'content-type': type } })

const badInput: ErrorRow[] = [
  // what is not JSON
  { name: 'nothing at all', body: '', status: 400, message: 'it ends at position 0', code: 'invalid_json' },
  {
    name: 'malformed JSON',
    body: '{"model": x}',
    status: 400,
    message: 'unexpected "x" at position 10 (line 1, column 11)',
  },
  { name: 'JSON that is cut off', body: '{"model": "mini"', status: 400, message: 'it ends at position 16' },
  { name: 'a nesting bomb', body: '['.repeat(15_000), status: 400, message: `deeper than ${maxJsonDepth} levels` },
  {
    name: 'a deep value',
    body: { ...chat, chat_template_kwargs: deep(70) },
    status: 400,
    message: 'levels at position',
  },
  { name: 'an array', body: [chat], status: 400, message: 'the body: expected object', code: 'invalid_type' },
  { name: 'null', body: 'null', status: 400, message: 'the body: expected object' },
  {
    name: 'a long body',
    body: { ...chat, user: 'x'.repeat(maxBodyBytes) },
    status: 413,
    message: 'longer than 20000 bytes',
  },
  {
    name: 'plain text, as a page may post it',
    body: chat,
    init: text('text/plain'),
    status: 415,
    message: 'application/json',
  },
  {
    name: 'a form',
    body: chat,
    init: text('application/x-www-form-urlencoded'),
    status: 415,
    message: 'application/json',
  },
  { name: 'no content type', body: chat, init: { headers: {} }, status: 415, message: 'send application/json' },
  // routes
  {
    name: 'unknown route',
    path: '/v1/embeddings',
    body: {},
    status: 404,
    message: 'no route /v1/embeddings',
    code: 'unknown_url',
  },
  {
    name: 'a path trick',
    path: '/v1/../../etc/passwd',
    body: {},
    status: 404,
    message: 'there is no route /etc/passwd',
  },
  {
    name: 'an encoded path trick',
    path: '/v1/models/..%2f..%2fetc',
    init: { method: 'GET' },
    status: 404,
    message: '"../../etc" does not exist',
  },
  {
    name: 'GET of a chat',
    init: { method: 'GET' },
    status: 405,
    message: 'takes POST, not GET',
    headers: { allow: 'POST' },
  },
  {
    name: 'POST of the models',
    path: '/v1/models',
    body: {},
    status: 405,
    message: 'takes GET, HEAD, not POST',
    headers: { allow: 'GET, HEAD' },
  },
  {
    name: 'DELETE of a model',
    path: '/v1/models/mini',
    init: { method: 'DELETE' },
    status: 405,
    message: 'not DELETE',
  },
  {
    name: 'unknown model in a path',
    path: '/v1/models/gpt',
    init: { method: 'GET' },
    status: 404,
    message: '"gpt" does not exist',
    code: 'model_not_found',
  },
  // the model
  {
    name: 'unknown model',
    body: { ...chat, model: 'gpt-5' },
    status: 404,
    message: 'this server has mini, org/alias',
    code: 'model_not_found',
    param: 'model',
  },
  { name: 'no model', body: { messages }, status: 400, message: 'model: is required', param: 'model' },
  {
    name: 'a model that is a path',
    body: { ...chat, model: '/etc/passwd' },
    status: 404,
    message: '"/etc/passwd" does not exist',
  },
  // messages
  { name: 'no messages', body: { model: modelName }, status: 400, message: 'messages: is required', param: 'messages' },
  {
    name: 'empty messages',
    body: { ...chat, messages: [] },
    status: 400,
    message: 'at least one message',
    param: 'messages',
  },
  {
    name: 'unknown role',
    body: { ...chat, messages: [{ role: 'x', content: '' }] },
    status: 400,
    message: 'must be system',
    param: 'messages[0].role',
  },
  {
    name: 'an image',
    body: {
      ...chat,
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }],
    },
    status: 400,
    message: 'reads text only',
    param: 'messages[0].content[0].type',
  },
  {
    name: 'a reserved template variable',
    body: { ...chat, chat_template_kwargs: { messages: [] } },
    status: 400,
    message: 'reserved',
    param: 'chat_template_kwargs.messages',
  },
  {
    name: 'a long conversation',
    body: { ...chat, messages: [{ role: 'user', content: 'word '.repeat(1500) }] },
    status: 400,
    message: 'the model takes 512',
    code: 'context_length_exceeded',
    param: 'messages',
  },
  {
    name: 'text beyond all tokens',
    body: { ...chat, messages: [{ role: 'user', content: 'a'.repeat(19_000) }] },
    status: 400,
    message: 'messages: 19000 characters are too long',
    code: 'context_length_exceeded',
    param: 'messages',
  },
  {
    name: 'more messages than tokens',
    body: { ...chat, messages: Array.from({ length: 513 }, () => ({ role: 'user', content: '' })) },
    status: 400,
    message: '513 messages and',
    param: 'messages',
  },
  // parameters
  {
    name: 'unknown parameter',
    body: { ...chat, max_token: 3 },
    status: 400,
    message: 'max_token: there is no such parameter',
    code: 'unknown_parameter',
    param: 'max_token',
  },
  {
    name: 'a prototype',
    body: `{"__proto__": {"x": 1}, ${JSON.stringify(chat).slice(1)}`,
    status: 400,
    message: '__proto__: there is no such parameter',
  },
  {
    name: 'tools',
    body: { ...chat, tools: [{ type: 'function', function: { name: 'f' } }] },
    status: 400,
    message: 'tools are not supported yet',
    code: 'unsupported_parameter',
  },
  {
    name: 'huge max_tokens',
    body: { ...chat, max_tokens: 10 ** 9 },
    status: 400,
    message: 'max_tokens 1000000000 and the prompt of',
    code: 'context_length_exceeded',
    param: 'max_tokens',
  },
  {
    name: 'huge max_completion_tokens',
    body: { model: modelName, messages, max_completion_tokens: 600 },
    status: 400,
    message: 'more than the 512 tokens of this model',
    param: 'max_completion_tokens',
  },
  {
    name: 'max_tokens beyond numbers',
    body: `{"max_tokens": 1e999, ${JSON.stringify({ model: modelName, messages }).slice(1)}`,
    status: 400,
    message: 'max_tokens: expected',
    param: 'max_tokens',
  },
  { name: 'negative max_tokens', body: { ...chat, max_tokens: -1 }, status: 400, message: '>=1', param: 'max_tokens' },
  {
    name: 'temperature as text',
    body: { ...chat, temperature: '1' },
    status: 400,
    message: 'expected number, received string',
    param: 'temperature',
  },
  { name: 'high temperature', body: { ...chat, temperature: 3 }, status: 400, message: '<=2', param: 'temperature' },
  { name: 'top_p above 1', body: { ...chat, top_p: 1.5 }, status: 400, message: 'top_p: ', param: 'top_p' },
  { name: 'top_k below -1', body: { ...chat, top_k: -2 }, status: 400, message: 'top_k: ', param: 'top_k' },
  {
    name: 'repetition_penalty 0',
    body: { ...chat, repetition_penalty: 0 },
    status: 400,
    message: 'repetition_penalty: ',
    param: 'repetition_penalty',
  },
  {
    name: 'presence_penalty 5',
    body: { ...chat, presence_penalty: 5 },
    status: 400,
    message: 'presence_penalty: ',
    param: 'presence_penalty',
  },
  { name: 'n of 0', body: { ...chat, n: 0 }, status: 400, message: 'n: ', param: 'n' },
  { name: 'n of a million', body: { ...chat, n: 1e6 }, status: 400, message: 'n: ', param: 'n' },
  { name: 'seed with a fraction', body: { ...chat, seed: 0.5 }, status: 400, message: 'expected int', param: 'seed' },
  { name: 'an empty stop string', body: { ...chat, stop: '' }, status: 400, message: 'stop: ', param: 'stop' },
  {
    name: 'min_tokens above max_tokens',
    body: { ...chat, min_tokens: 9 },
    status: 400,
    message: 'min_tokens 9 is above max_tokens 8',
    param: 'min_tokens',
  },
  {
    name: 'stop id outside',
    body: { ...chat, stop_token_ids: [10 ** 8] },
    status: 400,
    message: 'outside the vocabulary',
    param: 'stop_token_ids',
  },
  {
    name: 'bias of no token',
    body: { ...chat, logit_bias: { x: 1 } },
    status: 400,
    message: 'must be a token id',
    param: 'logit_bias.x',
  },
  {
    name: 'bias outside',
    body: { ...chat, logit_bias: { 99999999: 1 } },
    status: 400,
    message: 'outside the vocabulary',
    param: 'logit_bias',
  },
  {
    name: 'top_logprobs alone',
    body: { ...chat, top_logprobs: 2 },
    status: 400,
    message: 'needs "logprobs": true',
    param: 'top_logprobs',
  },
  {
    name: 'bad parameters of a stream',
    body: { ...chat, stream: true, n: 0 },
    status: 400,
    message: 'n: ',
    param: 'n',
  },
  // completions
  {
    name: 'empty prompt',
    path: textPath,
    body: { ...completion, prompt: [''] },
    status: 400,
    message: 'the prompt is empty',
  },
  {
    name: 'prompt with a token outside',
    path: textPath,
    body: { ...completion, prompt: [1, 10 ** 8] },
    status: 400,
    message: 'outside the vocabulary',
    param: 'prompt',
  },
  {
    name: 'prompt beyond all tokens',
    path: textPath,
    body: { ...completion, prompt: 'a'.repeat(19_000) },
    status: 400,
    message: '19000 characters',
    param: 'prompt',
  },
  {
    name: 'second prompt bad',
    path: textPath,
    body: { ...completion, prompt: ['a', ''] },
    status: 400,
    message: 'the prompt is empty',
  },
  {
    name: 'prompt as an object',
    path: textPath,
    body: { ...completion, prompt: {} },
    status: 400,
    message: 'prompt: must be a text',
    param: 'prompt',
  },
  {
    name: 'echo with logprobs',
    path: textPath,
    body: { ...completion, echo: true, logprobs: 1 },
    status: 400,
    message: 'remove echo',
    param: 'logprobs',
  },
]

function deep(levels: number): unknown {
  return levels === 0 ? 1 : { a: deep(levels - 1) }
}

describe('bad input', () => {
  test.each(badInput)(
    '$name: $status',
    async ({ status, message, code, param, path = chatPath, body, init, headers }) => {
      const response =
        body === undefined ? await app.request(path, { method: 'POST', ...init }) : await post(app, path, body, init)
      const { error } = await json<{ error: Record<string, unknown> }>(response)
      expect({ status: response.status, ...error }).toMatchObject({
        status,
        message: expect.stringContaining(message) as unknown,
        type: 'invalid_request_error',
        ...(code !== undefined && { code }),
        ...(param !== undefined && { param }),
      })
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type'])
      expect(response.headers.get('x-request-id')).toBeTruthy()
      for (const [name, value] of Object.entries(headers ?? {})) expect(response.headers.get(name)).toBe(value)
      // and the server goes on
      expect((await post(app, textPath, { ...completion, max_tokens: 1 })).status).toBe(200)
    },
  )

  test('bytes that are no UTF-8: 400', async () => {
    const body = Buffer.from([...Buffer.from('{"model": "'), 0xff, 0xfe, ...Buffer.from('"}')])
    const headers = { 'content-type': 'application/json' }
    const response = await app.request(chatPath, { method: 'POST', headers, body })
    expect(response.status).toBe(400)
    expect(await json(response)).toMatchObject({ error: { message: 'the body is not valid UTF-8' } })
  })
})

describe('small routes', () => {
  test('GET / says what there is', async () => {
    expect(await json(app.request('/'))).toMatchObject({
      name: 'slipway',
      status: 'ready',
      models: [modelName, 'org/alias'],
    })
    expect(await json(app.request('/version'))).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+/) as unknown })
    expect(await json(app.request('/health'))).toEqual({ status: 'ready' })
    expect((await app.request('/health', { method: 'HEAD' })).status).toBe(200)
  })

  test('models', async () => {
    const { data } = await json<{ data: unknown[] }>(app.request('/v1/models'))
    const card = { object: 'model', owned_by: 'slipway', created: expect.any(Number) as unknown, max_model_len: 512 }
    expect(data).toEqual([
      { id: modelName, ...card },
      { id: 'org/alias', ...card },
    ])
    expect(await json(app.request('/v1/models/mini'))).toEqual({ id: modelName, ...card })
    expect(await json(app.request('/v1/models/org/alias'))).toEqual({ id: 'org/alias', ...card })
    expect(await json(app.request('/v1/models/org%2Falias'))).toEqual({ id: 'org/alias', ...card })
  })

  test('without a name the model has that of its directory, and answers to its path', async () => {
    const plain = createApp(llm)
    const { data } = await json<{ data: { id: string }[] }>(plain.request('/v1/models'))
    expect(data.map(({ id }) => id)).toEqual(['model'])
    expect((await post(plain, textPath, { ...completion, model: 'model' })).status).toBe(200)
    expect((await post(plain, textPath, { ...completion, model: llm.info.model })).status).toBe(200)
    expect((await post(plain, textPath, { ...completion, model: 'mini' })).status).toBe(404)
  })

  test('a request id comes back if it is harmless', async () => {
    const ask = async (id: string): Promise<string | null> =>
      (await app.request('/health', { headers: { 'x-request-id': id } })).headers.get('x-request-id')
    expect(await ask('trace-1.a:b')).toBe('trace-1.a:b')
    expect(await ask('<script>')).toMatch(/^[\da-f-]{36}$/)
    expect(await ask('x'.repeat(129))).toMatch(/^[\da-f-]{36}$/)
  })

  test('pages may ask only where that is set', async () => {
    const headers = { origin: 'https://example.org', 'access-control-request-method': 'POST' }
    expect((await app.request(chatPath, { method: 'OPTIONS', headers })).status).toBe(405)
    const open = createApp(llm, { corsOrigins: ['https://example.org'] })
    const answer = await open.request(chatPath, { method: 'OPTIONS', headers })
    expect(answer.status).toBe(204)
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://example.org')
    const other = await open.request('/health', { headers: { origin: 'https://evil.example' } })
    expect(other.headers.get('access-control-allow-origin')).toBeNull()
    const all = await createApp(llm, { corsOrigins: ['*'] }).request('/health', { headers })
    expect(all.headers.get('access-control-allow-origin')).toBe('*')
  })

  test('options are checked', () => {
    expect(() => createApp(llm, { maxBodyBytes: 1 })).toThrow('option maxBodyBytes')
    expect(() => createApp(llm, { prot: 1 } as object)).toThrow('option prot')
  })
})

describe('chat completions', () => {
  test('an answer in the form of OpenAI', async () => {
    const answer = await json<ChatCompletion>(post(app, chatPath, { ...chat, ignore_eos: true }))
    expect(answer).toEqual({
      id: expect.stringMatching(/^chatcmpl-[\da-f]{32}$/) as unknown,
      object: 'chat.completion',
      created: expect.closeTo(Date.now() / 1000, -1) as unknown,
      model: modelName,
      system_fingerprint: expect.stringMatching(/^fp_[\da-f]{10}$/) as unknown,
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: expect.any(String) as unknown, refusal: null },
          logprobs: null,
          finish_reason: 'length',
        },
      ],
      usage: {
        prompt_tokens: llm.renderChat(messages).length,
        completion_tokens: 8,
        total_tokens: llm.renderChat(messages).length + 8,
      },
    })
  })

  test('a stream says the same in pieces', async () => {
    const body = { ...chat, n: 2, max_tokens: 12, logprobs: true, top_logprobs: 2 }
    const whole = await json<ChatCompletion>(post(app, chatPath, body))
    const response = await post(app, chatPath, { ...body, stream: true, stream_options: { include_usage: true } })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    const events = eventsOf(await response.text())
    expect(events.pop()).toBe('[DONE]')
    const chunks = events as ChatCompletionChunk[]
    expect(new Set(chunks.map(({ id, object, created }) => `${id} ${object} ${created}`)).size).toBe(1)
    // the roles first, the usage last
    for (const i of [0, 1])
      expect(chunks[i]!.choices).toMatchObject([{ index: i, delta: { role: 'assistant', content: '' } }])
    expect(chunks.pop()).toMatchObject({ choices: [], usage: whole.usage })
    for (const { index, message, logprobs, finish_reason } of whole.choices) {
      const choices = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index)
      expect(choices.map(({ delta }) => delta.content ?? '').join('')).toBe(message.content)
      expect(choices.flatMap((choice) => choice.logprobs?.content ?? [])).toEqual(logprobs?.content)
      expect(choices.map((choice) => choice.finish_reason).filter((reason) => reason !== null)).toEqual([finish_reason])
      expect(choices.at(-1)).toMatchObject({ delta: {}, finish_reason })
    }
    for (const chunk of chunks) expect(chunk.usage).toBeNull()
  })

  test('without include_usage there is none', async () => {
    const events = eventsOf(await (await post(app, chatPath, { ...chat, stream: true })).text())
    for (const event of events.slice(0, -1)) expect(event).not.toHaveProperty('usage')
  })

  test('text parts and the developer role mean what plain messages do', async () => {
    const plain = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'One\ntwo' },
    ]
    const modern = [
      { role: 'developer', content: 'Be brief.' },
      {
        role: 'user',
        content: [
          { type: 'text', text: 'One' },
          { type: 'text', text: 'two' },
        ],
      },
    ]
    const texts = await Promise.all(
      [plain, modern].map(async (messages) => {
        const { choices } = await json<ChatCompletion>(post(app, chatPath, { ...chat, messages }))
        return choices[0]!.message.content
      }),
    )
    expect(texts[0]).toBe(texts[1])
  })

  test('bias and stop tokens reach the engine', async () => {
    const id = llm.tokenizer.encode('a', { addSpecialTokens: false })[0]!
    const body = { ...chat, temperature: 0, logit_bias: { [id]: 100 }, max_tokens: 4 }
    const biased = await json<ChatCompletion>(post(app, chatPath, body))
    expect(biased.choices[0]!.message.content).toBe('aaaa')
    const stopped = await json<ChatCompletion>(post(app, chatPath, { ...body, stop_token_ids: [id] }))
    expect(stopped.choices[0]).toMatchObject({ message: { content: '' }, finish_reason: 'stop' })
    const kept = { ...body, stop: ['aa'], include_stop_str_in_output: true }
    expect((await json<ChatCompletion>(post(app, chatPath, kept))).choices[0]!.message.content).toBe('aa')
  })
})

describe('completions', () => {
  test('several prompts, n of each, in order', async () => {
    const prompts = ['One', 'Two', 'Three']
    const alone = await Promise.all(
      prompts.map((prompt) => json<Completion>(post(app, textPath, { ...completion, prompt, n: 2 }))),
    )
    const together = await json<Completion>(post(app, textPath, { ...completion, prompt: prompts, n: 2 }))
    expect(together.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3, 4, 5])
    expect(together.choices.map(({ text }) => text)).toEqual(
      alone.flatMap(({ choices }) => choices.map(({ text }) => text)),
    )
    expect(together.usage.completion_tokens).toBe(alone.reduce((sum, { usage }) => sum + usage.completion_tokens, 0))
    expect(together.id).toMatch(/^cmpl-/)
  })

  test('token ids are prompts too', async () => {
    const ids = llm.tokenizer.encode(completion.prompt)
    const [text, one, many] = await Promise.all(
      [completion.prompt, ids, [ids]].map(async (prompt) => {
        const { choices } = await json<Completion>(post(app, textPath, { ...completion, prompt }))
        return choices[0]!.text
      }),
    )
    expect(one).toBe(text)
    expect(many).toBe(text)
  })

  test('16 tokens are the default', async () => {
    const body = { model: modelName, prompt: 'Hello', seed: 1, ignore_eos: true }
    const { usage, choices } = await json<Completion>(post(app, textPath, body))
    expect(usage.completion_tokens).toBe(16)
    expect(choices[0]!.finish_reason).toBe('length')
  })

  test('echo gives the prompt back', async () => {
    const plain = await json<Completion>(post(app, textPath, completion))
    const echoed = await json<Completion>(post(app, textPath, { ...completion, echo: true }))
    expect(echoed.choices[0]!.text).toBe(completion.prompt + plain.choices[0]!.text)
    const ids = llm.tokenizer.encode(completion.prompt)
    const fromIds = await json<Completion>(post(app, textPath, { ...completion, prompt: ids, echo: true }))
    expect(fromIds.choices[0]!.text).toBe(echoed.choices[0]!.text)
  })

  test('log-probabilities in the old form', async () => {
    const body = { ...completion, logprobs: 2, ignore_eos: true }
    const { choices } = await json<Completion>(post(app, textPath, body))
    const { text, logprobs } = choices[0]!
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs!
    expect([tokens, token_logprobs, top_logprobs, text_offset].map(({ length }) => length)).toEqual([8, 8, 8, 8])
    expect(text_offset[0]).toBe(0)
    for (const [i, token] of tokens.entries()) {
      expect(token_logprobs[i]).toBeLessThanOrEqual(0)
      expect(Object.keys(top_logprobs[i]!).length).toBeGreaterThanOrEqual(1)
      expect(top_logprobs[i]![token]).toBeDefined()
      // a token of whole characters stands where its offset says
      const isPlain = !token.includes('\ufffd') && (text_offset[i + 1] ?? -1) - text_offset[i]! === [...token].length
      if (isPlain) expect([...text].slice(text_offset[i], text_offset[i + 1]).join('')).toBe(token)
    }
  })

  test('a stream says the same in pieces', async () => {
    const body = { ...completion, prompt: ['One', 'Two'], n: 2, echo: true }
    const whole = await json<Completion>(post(app, textPath, body))
    const streamed = { ...body, stream: true, stream_options: { include_usage: true } }
    const events = eventsOf(await (await post(app, textPath, streamed)).text())
    expect(events.pop()).toBe('[DONE]')
    const chunks = events as CompletionChunk[]
    expect(chunks.pop()).toMatchObject({ choices: [], usage: whole.usage })
    for (const { index, text, finish_reason } of whole.choices) {
      const choices = chunks.flatMap((chunk) => chunk.choices).filter((choice) => choice.index === index)
      expect(choices.map((choice) => choice.text).join('')).toBe(text)
      expect(choices.at(-1)!.finish_reason).toBe(finish_reason)
    }
  })

  test('log-probabilities in a stream', async () => {
    const body = { ...completion, logprobs: 1 }
    const whole = await json<Completion>(post(app, textPath, body))
    const events = eventsOf(await (await post(app, textPath, { ...body, stream: true })).text())
    const chunks = events.slice(0, -1) as CompletionChunk[]
    const pieces = chunks.flatMap(({ choices }) => choices[0]!.logprobs ?? [])
    expect(pieces.flatMap(({ tokens }) => tokens)).toEqual(whole.choices[0]!.logprobs!.tokens)
    expect(pieces.flatMap(({ text_offset }) => text_offset)).toEqual(whole.choices[0]!.logprobs!.text_offset)
  })
})
