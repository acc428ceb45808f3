import { describe, expect, test } from 'vitest'
import { createApp } from './app.ts'
import { eventsOf, jsonOf, modelName, post, startModel, useApp, useModel } from './testing/harness.ts'
import type { ChatCompletion, ChatCompletionChunk, Completion, CompletionChunk } from './openai/answers.ts'

const messages = [{ role: 'user', content: 'Hello!' }]
const chat = { model: modelName, messages, max_tokens: 8, seed: 1, temperature: 1 }
const completion = { model: modelName, prompt: 'Once upon a time', max_tokens: 8, seed: 1, temperature: 1 }
const chatPath = '/v1/chat/completions'
const textPath = '/v1/completions'

const llm = useModel()
const app = useApp(llm)

describe('small routes', () => {
  test('GET / says what there is', async () => {
    expect(await jsonOf(app.request('/'))).toMatchObject({
      name: 'slipway',
      status: 'ready',
      models: [modelName, 'org/alias'],
    })
    expect(await jsonOf(app.request('/version'))).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/) as unknown,
    })
    expect(await jsonOf(app.request('/health'))).toEqual({ status: 'ready' })
    expect((await app.request('/health', { method: 'HEAD' })).status).toBe(200)
  })

  test('models', async () => {
    const { data } = await jsonOf<{ data: unknown[] }>(app.request('/v1/models'))
    const card = { object: 'model', owned_by: 'slipway', created: expect.any(Number) as unknown, max_model_len: 512 }
    expect(data).toEqual([
      { id: modelName, ...card },
      { id: 'org/alias', ...card },
    ])
    expect(await jsonOf(app.request('/v1/models/mini'))).toEqual({ id: modelName, ...card })
    expect(await jsonOf(app.request('/v1/models/org/alias'))).toEqual({ id: 'org/alias', ...card })
    expect(await jsonOf(app.request('/v1/models/org%2Falias'))).toEqual({ id: 'org/alias', ...card })
  })

  test('without a name the model has that of its directory, and answers to its path', async () => {
    const plain = createApp(llm)
    const { data } = await jsonOf<{ data: { id: string }[] }>(plain.request('/v1/models'))
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
    const answer = await jsonOf<ChatCompletion>(post(app, chatPath, { ...chat, ignore_eos: true }))
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
        completion_tokens_details: { reasoning_tokens: 0 },
        prompt_tokens_details: { cached_tokens: expect.any(Number) as unknown },
      },
    })
  })

  test('what was computed before is told as cached, under the same salt', async () => {
    const long = { ...chat, messages: [{ role: 'user', content: 'One two three four. '.repeat(12) }] }
    const cached = async (more: object): Promise<number> =>
      (await jsonOf<ChatCompletion>(post(app, chatPath, { ...long, ...more }))).usage.prompt_tokens_details
        .cached_tokens
    await llm.resetPrefixCache()
    expect([await cached({}), await cached({ cache_salt: 'x' })]).toEqual([0, 0])
    const again = await cached({ user: 'somebody', priority: -1 })
    expect(again).toBeGreaterThan(0)
    expect(again % llm.info.blockSize).toBe(0)
    expect(await cached({ cache_salt: 'x' })).toBe(again)
  })

  test('a timeout is 408, which clients must not repeat, or ends the stream', async () => {
    const body = { ...chat, timeout: 0.02, max_tokens: 400, ignore_eos: true }
    const response = await post(app, chatPath, body)
    expect(response.status).toBe(408)
    expect(response.headers.get('x-should-retry')).toBe('false')
    const error = { type: 'timeout_error', code: 'timeout', param: 'timeout' }
    expect(await response.json()).toMatchObject({ error })
    const stream = await post(app, chatPath, { ...body, stream: true })
    expect(eventsOf(await stream.text()).at(-1)).toMatchObject({ error })
  })

  test.each([
    [{ timeout: 0 }, 'timeout'],
    [{ priority: 0.5 }, 'priority'],
    [{ user: 'u'.repeat(600) }, 'user'],
    [{ cache_salt: 's'.repeat(600) }, 'cache_salt'],
  ])('%j is refused by its name', async (more, param) => {
    const response = await post(app, chatPath, { ...chat, ...more })
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as { error: { param: string; message: string } }
    expect(error.param).toBe(param)
    expect(error.message).toContain(`${param}:`)
  })

  test('a stream says the same in pieces', async () => {
    const body = { ...chat, n: 2, max_tokens: 12, logprobs: true, top_logprobs: 2 }
    const whole = await jsonOf<ChatCompletion>(post(app, chatPath, body))
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
        const { choices } = await jsonOf<ChatCompletion>(post(app, chatPath, { ...chat, messages }))
        return choices[0]!.message.content
      }),
    )
    expect(texts[0]).toBe(texts[1])
  })

  test('bias and stop tokens reach the engine', async () => {
    const id = llm.tokenizer.encode('a', { addSpecialTokens: false })[0]!
    const body = { ...chat, temperature: 0, logit_bias: { [id]: 100 }, max_tokens: 4 }
    const biased = await jsonOf<ChatCompletion>(post(app, chatPath, body))
    expect(biased.choices[0]!.message.content).toBe('aaaa')
    const stopped = await jsonOf<ChatCompletion>(post(app, chatPath, { ...body, stop_token_ids: [id] }))
    expect(stopped.choices[0]).toMatchObject({ message: { content: '' }, finish_reason: 'stop' })
    const kept = { ...body, stop: ['aa'], include_stop_str_in_output: true }
    expect((await jsonOf<ChatCompletion>(post(app, chatPath, kept))).choices[0]!.message.content).toBe('aa')
  })
})

describe('completions', () => {
  test('several prompts, n of each, in order', async () => {
    const prompts = ['One', 'Two', 'Three']
    const alone = await Promise.all(
      prompts.map((prompt) => jsonOf<Completion>(post(app, textPath, { ...completion, prompt, n: 2 }))),
    )
    const together = await jsonOf<Completion>(post(app, textPath, { ...completion, prompt: prompts, n: 2 }))
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
        const { choices } = await jsonOf<Completion>(post(app, textPath, { ...completion, prompt }))
        return choices[0]!.text
      }),
    )
    expect(one).toBe(text)
    expect(many).toBe(text)
  })

  test('16 tokens are the default', async () => {
    const body = { model: modelName, prompt: 'Hello', seed: 1, ignore_eos: true }
    const { usage, choices } = await jsonOf<Completion>(post(app, textPath, body))
    expect(usage.completion_tokens).toBe(16)
    expect(choices[0]!.finish_reason).toBe('length')
  })

  test('a limit that nobody asked for gives way to the length of the model', async () => {
    await using short = startModel({ maxModelLen: 32 })
    await short.ready
    const app = createApp(short, { servedModelNames: [modelName] })
    const prompt = Array.from({ length: 29 }, () => 100)
    const body = { model: modelName, prompt, ignore_eos: true }
    const { usage, choices } = await jsonOf<Completion>(post(app, textPath, body))
    expect(usage.completion_tokens).toBe(3)
    expect(choices[0]!.finish_reason).toBe('length')
    const asked = await post(app, textPath, { ...body, max_tokens: 4 })
    expect(asked.status).toBe(400)
    expect(await jsonOf(asked)).toMatchObject({
      error: {
        message:
          'max_tokens 4 and the prompt of 29 tokens are more than the 32 tokens of this model; at most 3 are left',
      },
    })
  })

  test('echo gives the prompt back', async () => {
    const plain = await jsonOf<Completion>(post(app, textPath, completion))
    const echoed = await jsonOf<Completion>(post(app, textPath, { ...completion, echo: true }))
    expect(echoed.choices[0]!.text).toBe(completion.prompt + plain.choices[0]!.text)
    const ids = llm.tokenizer.encode(completion.prompt)
    const fromIds = await jsonOf<Completion>(post(app, textPath, { ...completion, prompt: ids, echo: true }))
    expect(fromIds.choices[0]!.text).toBe(echoed.choices[0]!.text)
  })

  test('log-probabilities in the old form', async () => {
    const body = { ...completion, logprobs: 2, ignore_eos: true }
    const { choices } = await jsonOf<Completion>(post(app, textPath, body))
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
    const whole = await jsonOf<Completion>(post(app, textPath, body))
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
    const whole = await jsonOf<Completion>(post(app, textPath, body))
    const events = eventsOf(await (await post(app, textPath, { ...body, stream: true })).text())
    const chunks = events.slice(0, -1) as CompletionChunk[]
    const pieces = chunks.flatMap(({ choices }) => choices[0]!.logprobs ?? [])
    expect(pieces.flatMap(({ tokens }) => tokens)).toEqual(whole.choices[0]!.logprobs!.tokens)
    expect(pieces.flatMap(({ text_offset }) => text_offset)).toEqual(whole.choices[0]!.logprobs!.text_offset)
  })
})
