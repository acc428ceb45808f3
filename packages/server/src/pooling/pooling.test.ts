import { LLM, type LLMOptions } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import type { Hono } from 'hono'
import OpenAI from 'openai'
import { pino } from 'pino'
import { afterAll, describe, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import type { ApiErrorBody } from '../http/error-schema.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { serve } from '../serve.ts'
import { expectIdle, post } from '../testing/harness.ts'
import { fixtureDirectory, goldenOf } from '../testing/pooling-fixtures.ts'
import { metricOf } from '../testing/soak.ts'

const started: LLM[] = []
afterAll(() => Promise.all(started.map((llm) => llm.close())))

/** A tiny checkpoint behind the routes, served as `m`. */
async function appOf(name: string, options: LLMOptions = {}): Promise<{ app: Hono<ServerEnv>; llm: LLM }> {
  const directory = name === 'mini' ? miniModelDirectory : fixtureDirectory(name)
  const llm = await LLM.load(directory, { packedCache: false, ...options })
  started.push(llm)
  return { app: createApp(llm, { servedModelNames: ['m'] }), llm }
}

interface Answer {
  readonly id: string
  readonly object: string
  readonly data: { readonly [key: string]: unknown; readonly index: number }[]
  readonly results: { index: number; document?: { text: string }; relevance_score: number }[]
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}

async function ask(app: Hono<ServerEnv>, path: string, body: object): Promise<Answer> {
  const response = await post(app, path, { model: 'm', ...body })
  expect(response.status, await response.clone().text()).toBe(200)
  return (await response.json()) as Answer
}

async function refused(app: Hono<ServerEnv>, path: string, body: object): Promise<ApiErrorBody['error']> {
  const response = await post(app, path, { model: 'm', ...body })
  expect(response.status).toBe(400)
  return ((await response.json()) as ApiErrorBody).error
}

const largest = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), a.length === b.length ? 0 : Infinity)
const length = (vector: readonly number[]): number => Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0))

test('embeddings through the official client, as numbers and as base64', async () => {
  const { llm } = await appOf('bert-embed')
  const { cases } = goldenOf('bert-embed')
  const server = await serve(llm, { port: 0, servedModelNames: ['m'] })
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 })
  const input = cases.map(({ text }) => text as string)
  // without a format the client asks for base64 and decodes
  const base64 = await client.embeddings.create({ model: 'm', input })
  const floats = await client.embeddings.create({ model: 'm', input, encoding_format: 'float' })
  expect(base64.data.map(({ embedding }) => embedding)).toEqual(floats.data.map(({ embedding }) => embedding))
  for (const [i, { embedding, index, object }] of floats.data.entries()) {
    expect({ index, object }).toEqual({ index: i, object: 'embedding' })
    expect(largest(embedding, cases[i]!.expected)).toBeLessThan(1e-4)
  }
  const tokens = cases.reduce((sum, { ids }) => sum + ids.length, 0)
  expect(floats).toMatchObject({ object: 'list', model: 'm', usage: { prompt_tokens: tokens, total_tokens: tokens } })
  // ids as they are, and one text
  const ids = await client.embeddings.create({ model: 'm', input: [...cases[1]!.ids], encoding_format: 'float' })
  expect(ids.data[0]!.embedding).toEqual(floats.data[1]!.embedding)
  const short = await client.embeddings.create({
    model: 'm',
    input: input[1]!,
    dimensions: 8,
    encoding_format: 'float',
  })
  const cut = floats.data[1]!.embedding.slice(0, 8)
  expect(
    largest(
      short.data[0]!.embedding,
      cut.map((x) => x / length(cut)),
    ),
  ).toBeLessThan(1e-6)
  await expect(
    client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'Hi' }] }),
  ).rejects.toMatchObject({
    status: 400,
    code: 'task_not_supported',
  })
  await server.close()
  await expectIdle(llm)
})

describe('a model that embeds', async () => {
  const { app, llm } = await appOf('bert-embed')
  const [hello, fox] = goldenOf('bert-embed').cases
  const [first, second, ids] = [hello!.text as string, fox!.text as string, fox!.ids]

  test('normalize and truncation', async () => {
    const whole = (await ask(app, '/v1/embeddings', { input: second, normalize: false })).data[0]![
      'embedding'
    ] as number[]
    expect(length(whole)).toBeGreaterThan(1.1)
    for (const [side, expected] of [
      ['right', [...ids.slice(0, 7), ids.at(-1)!]],
      ['left', [ids[0]!, ...ids.slice(-7)]],
    ] as const) {
      const cut = await ask(app, '/v1/embeddings', { input: second, truncate_prompt_tokens: 8, truncation_side: side })
      expect(cut.usage.prompt_tokens).toBe(8)
      const given = await ask(app, '/v1/embeddings', { input: expected })
      expect(cut.data[0]!['embedding']).toEqual(given.data[0]!['embedding'])
    }
    const long = await ask(app, '/v1/embeddings', { input: 'so many words '.repeat(400), truncate_prompt_tokens: -1 })
    expect(long.usage.prompt_tokens).toBe(256)
    const bare = await ask(app, '/v1/embeddings', { input: second, add_special_tokens: false })
    expect(bare.usage.prompt_tokens).toBe(ids.length - 2)
  })

  test('every token, by /pooling', async () => {
    const { data } = await ask(app, '/pooling', { input: second, task: 'token_embed', normalize: false })
    const rows = data[0]!['data'] as number[][]
    expect(rows.map((row) => row.length)).toEqual(ids.map(() => 24))
    // the model's pooling is the mean of what all tokens came to
    const { data: embedded } = await ask(app, '/pooling', { input: second, normalize: false })
    const mean = Array.from({ length: 24 }, (_, c) => rows.reduce((sum, row) => sum + row[c]!, 0) / rows.length)
    expect(largest(embedded[0]!['data'] as number[], mean)).toBeLessThan(1e-6)
    const { data: base64 } = await ask(app, '/pooling', { input: second, normalize: false, encoding_format: 'base64' })
    const bytes = Uint8Array.from(Buffer.from(base64[0]!['data'] as string, 'base64'))
    expect(Array.from(new Float32Array(bytes.buffer))).toEqual(embedded[0]!['data'])
  })

  test('many documents under one signal are no leak', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    await ask(app, '/rerank', { query: first, documents: Array.from({ length: 30 }, () => second) })
    // Node warns in a later turn
    await new Promise((resolve) => setImmediate(resolve))
    process.off('warning', note)
    expect(warnings).toEqual([])
  })

  test('score and rerank by the cosine of embeddings', async () => {
    const { data } = await ask(app, '/v1/embeddings', { input: [first, second] })
    const [a, b] = data.map(({ embedding }) => embedding as number[])
    const scored = await ask(app, '/score', { text_1: first, text_2: [second, first] })
    expect(scored.data[0]!['score']).toBeCloseTo(
      a!.reduce((sum, x, i) => sum + x * b![i]!, 0),
      5,
    )
    expect(scored.data[1]!['score']).toBeCloseTo(1, 5)
    const ranked = await ask(app, '/rerank', { query: first, documents: [second, first] })
    expect(ranked.results.map(({ index }) => index)).toEqual([1, 0])
  })

  test.each<[string, string, object, Partial<ApiErrorBody['error']>]>([
    ['no input', '/v1/embeddings', {}, { param: 'input', code: 'missing_required_parameter' }],
    ['an empty list', '/v1/embeddings', { input: [] }, { param: 'input' }],
    ['too many dimensions', '/v1/embeddings', { input: 'a', dimensions: 25 }, { param: 'dimensions' }],
    ['another encoding', '/v1/embeddings', { input: 'a', encoding_format: 'int8' }, { param: 'encoding_format' }],
    ['a token that there is not', '/v1/embeddings', { input: [145] }, { param: 'input' }],
    [
      'a text too long',
      '/v1/embeddings',
      { input: 'word '.repeat(300) },
      { param: 'input', code: 'context_length_exceeded' },
    ],
    [
      'a text too long at sight',
      '/v1/embeddings',
      { input: 'word'.repeat(9000) },
      { param: 'input', code: 'context_length_exceeded' },
    ],
    [
      'a longer cut than the model takes',
      '/v1/embeddings',
      { input: 'a', truncate_prompt_tokens: 257 },
      { param: 'truncate_prompt_tokens' },
    ],
    ['two inputs', '/v1/embeddings', { input: 'a', messages: [{ role: 'user', content: 'a' }] }, { param: 'messages' }],
    [
      'a conversation without a template',
      '/v1/embeddings',
      { messages: [{ role: 'user', content: 'a' }] },
      { param: 'messages' },
    ],
    [
      'template variables of nothing',
      '/v1/embeddings',
      { input: 'a', chat_template_kwargs: {} },
      { param: 'chat_template_kwargs' },
    ],
    [
      'an unknown parameter',
      '/v1/embeddings',
      { input: 'a', dimension: 8 },
      { param: 'dimension', code: 'unknown_parameter' },
    ],
    ['classes', '/v1/classify', { input: 'a' }, { code: 'task_not_supported' }],
    ['classes of tokens', '/pooling', { input: 'a', task: 'token_classify' }, { code: 'task_not_supported' }],
    ['an activation', '/pooling', { input: 'a', use_activation: false }, { param: 'activation' }],
    ['text to generate', '/v1/completions', { prompt: 'a' }, { code: 'task_not_supported' }],
    ['an answer to generate', '/v1/chat/completions', { messages: [] }, { code: 'task_not_supported' }],
    ['a score without documents', '/v1/score', { queries: 'a' }, { param: 'documents' }],
    ['a query under two names', '/v1/score', { queries: 'a', text_1: 'a', text_2: 'b' }, { code: 'invalid_value' }],
    ['lists that do not fit', '/v1/score', { queries: ['a', 'b'], documents: ['a', 'b', 'c'] }, { param: 'documents' }],
    ['nothing to rank', '/v1/rerank', { query: 'a', documents: [] }, { param: 'documents' }],
  ])('refuses %s', async (_, path, body, expected) => {
    const error = await refused(app, path, body)
    expect(error).toMatchObject(expected)
    expect(error.message).not.toMatch(/[a-z][A-Z]/)
  })

  test('requests are counted, charged to their key and logged like those that generate', async () => {
    const lines: string[] = []
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    const keyed = createApp(llm, {
      servedModelNames: ['m'],
      apiKeys: [{ key: 'one-long-key', tokensPerMinute: 1000 }],
      logger,
    })
    const headers = { authorization: 'Bearer one-long-key', 'content-type': 'application/json' }
    const body = JSON.stringify({ model: 'm', input: [first, second] })
    const response = await keyed.request('/v1/embeddings', { method: 'POST', headers, body })
    const { usage } = (await response.json()) as Answer
    const metrics = await (await keyed.request('/metrics', { headers })).text()
    const of = (name: string) => metricOf(metrics, name)
    expect(of('vllm:prompt_tokens_total')).toBe(usage.prompt_tokens)
    expect(of('fastdeploy:requests_number')).toBe(2)
    expect(of('fastdeploy:request_success_total')).toBe(2)
    expect(of('vllm:e2e_request_latency_seconds_count')).toBe(2)
    expect(of('vllm:time_to_first_token_seconds_count')).toBe(0)
    expect(JSON.parse(lines[0]!)).toMatchObject({ promptTokens: usage.prompt_tokens, finishReasons: ['stop', 'stop'] })
    const next = await keyed.request('/v1/embeddings', { method: 'POST', headers, body })
    const left = Number(next.headers.get('x-ratelimit-remaining-tokens'))
    expect(left).toBeLessThanOrEqual(1000 - usage.prompt_tokens)
  })

  test('one that an administrator ends says so', async () => {
    const adminKey = 'an-admin-key'
    const own = createApp(llm, { servedModelNames: ['m'], adminKey })
    await llm.pause({ mode: 'keep' })
    const headers = { 'content-type': 'application/json', 'x-request-id': 'mine' }
    const body = JSON.stringify({ model: 'm', input: first })
    const answer = own.request('/v1/embeddings', { method: 'POST', headers, body })
    const abort = async () => {
      const response = await own.request('/abort_requests', {
        method: 'POST',
        headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
        body: JSON.stringify({ request_ids: ['mine'] }),
      })
      return ((await response.json()) as { aborted: string[] }).aborted
    }
    await expect.poll(abort).toEqual(['mine'])
    const ended = await answer
    expect(ended.status).toBe(503)
    const { error } = (await ended.json()) as ApiErrorBody
    expect(error).toMatchObject({ code: 'aborted' })
    expect(error.message).toContain('administrator')
    await llm.resume()
    const metrics = await (await own.request('/metrics')).text()
    expect(metrics).toMatch(/vllm:request_success_total\{.*finished_reason="abort".*\} 1/)
    await expectIdle(llm)
  })

  test('a client that goes, and a timeout, end a request', async () => {
    const gone = new AbortController()
    const answer = post(app, '/v1/embeddings', { model: 'm', input: [second, first] }, { signal: gone.signal })
    gone.abort()
    expect((await answer.catch(() => ({ status: 400 }))).status).toBe(400)
    await expectIdle(llm)
    const late = await post(app, '/v1/embeddings', { model: 'm', input: first, timeout: 1e-9 })
    expect(late.status).toBe(408)
    await expectIdle(llm)
  })
})

test('classes, with labels and probabilities', async () => {
  const { app } = await appOf('bert-classify')
  const { cases } = goldenOf('bert-classify')
  const input = cases.map(({ text }) => text)
  const { data } = await ask(app, '/v1/classify', { input })
  for (const [i, { label, probs, num_classes }] of data.entries()) {
    const { expected } = cases[i]!
    expect(largest(probs as number[], expected)).toBeLessThan(1e-4)
    expect(num_classes).toBe(3)
    expect(label).toBe(['joy', 'anger', 'calm'][expected.indexOf(Math.max(...expected))])
  }
  const raw = await ask(app, '/classify', { input: input[0], use_activation: false })
  const [x, y] = [raw.data[0]!['probs'] as number[], data[0]!['probs'] as number[]]
  expect(Math.exp(x[0]! - x[1]!)).toBeCloseTo(y[0]! / y[1]!, 3)
  const own = await ask(app, '/pooling', { input: input[0] })
  expect(own.data[0]!['data']).toEqual(y)
  expect(await refused(app, '/v1/embeddings', { input: 'a' })).toMatchObject({ code: 'task_not_supported' })
  expect(await refused(app, '/v1/rerank', { query: 'a', documents: ['b'] })).toMatchObject({
    code: 'task_not_supported',
  })
})

test('scores and ranks of a cross-encoder', async () => {
  const { app } = await appOf('xlmr-rerank')
  const { cases } = goldenOf('xlmr-rerank')
  const pairs = cases.map(({ text }) => text as [string, string])
  const queries = pairs.map(([query]) => query)
  const documents = pairs.map(([, document]) => document)
  const { data, usage } = await ask(app, '/v1/score', { queries, documents })
  expect(
    largest(
      data.map(({ score }) => score as number),
      cases.map(({ expected }) => expected[0]!),
    ),
  ).toBeLessThan(1e-4)
  expect(usage.prompt_tokens).toBe(cases.reduce((sum, { ids }) => sum + ids.length, 0))
  for (const path of ['/rerank', '/v1/rerank', '/v2/rerank']) {
    const body = { query: queries[0], documents: [documents[1], { text: documents[0] }, documents[2]] }
    const { results } = await ask(app, path, body)
    const scores = results.map(({ relevance_score }) => relevance_score)
    expect(scores).toEqual([...scores].sort((a, b) => b - a))
    const own = results.find(({ index }) => index === 1)!
    expect(own.document).toEqual({ text: documents[0] })
    expect(own.relevance_score).toBe(data[0]!['score'])
    const best = await ask(app, path, { ...body, top_n: 1, return_documents: false })
    expect(best.results).toEqual([{ index: results[0]!.index, relevance_score: scores[0] }])
  }
})

test('a model that generates says how to have its embeddings, and then gives them', async () => {
  const { app } = await appOf('mini')
  const error = await refused(app, '/v1/embeddings', { input: 'Hello' })
  expect(error).toMatchObject({ code: 'task_not_supported' })
  expect(error.message).toContain('--task embed')
  const { app: embedding } = await appOf('mini', { task: 'embed' })
  const messages = [{ role: 'user', content: 'Hello' }]
  const { data, usage } = await ask(embedding, '/v1/embeddings', { messages })
  expect(length(data[0]!['embedding'] as number[])).toBeCloseTo(1, 5)
  expect(usage.prompt_tokens).toBeGreaterThan(1)
  expect(await refused(embedding, '/v1/completions', { prompt: 'a' })).toMatchObject({ code: 'task_not_supported' })
})
