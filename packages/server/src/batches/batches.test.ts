import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { LLM } from '@slipway/engine'
import type OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  answersOf,
  completionLine,
  newFolder,
  serveBatches,
  startBatch,
  untilEnded,
  upload,
} from '../testing/batches.ts'
import { expectIdle, modelName, slowness, startModel } from '../testing/harness.ts'
import { metricOf } from '../testing/soak.ts'

// The official client against the real server on the embedded model.

let llm: LLM
beforeAll(async () => {
  llm = startModel()
  await llm.ready
})
afterEach(() => expectIdle(llm))
afterAll(() => llm.close())

const messages = [{ role: 'user' as const, content: 'What is 3 + 4?' }]

describe('a batch', () => {
  test('has the answers that its requests have alone', async () => {
    const { client } = await serveBatches(llm, await newFolder())
    const body = { model: modelName, messages, max_tokens: 8, temperature: 0 }
    const lines = [3, 5, 9].map((seed) => ({
      custom_id: `seed-${seed}`,
      method: 'POST',
      url: '/v1/chat/completions',
      body: { ...body, temperature: 1, seed },
    }))
    const created = await startBatch(client, lines, '/v1/chat/completions', { metadata: { of: 'a test' } })
    expect(created).toMatchObject({
      object: 'batch',
      status: 'validating',
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { of: 'a test' },
      output_file_id: null,
    })
    expect(created.id).toMatch(/^batch_[0-9a-f]{32}$/)
    expect(created.expires_at).toBe(created.created_at + 86_400)
    const batch = await untilEnded(client, created.id)
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 3, completed: 3, failed: 0 },
      error_file_id: null,
      errors: null,
    })
    for (const time of [batch.in_progress_at, batch.finalizing_at, batch.completed_at])
      expect(time).toBeGreaterThanOrEqual(created.created_at)
    const answers = await answersOf(client, batch.output_file_id)
    expect(answers.size).toBe(3)
    for (const seed of [3, 5, 9]) {
      const alone = await client.chat.completions.create({ ...body, temperature: 1, seed })
      const { id, response, error } = answers.get(`seed-${seed}`)!
      const answer = response!.body as OpenAI.ChatCompletion
      expect({ status: response!.status_code, error }).toEqual({ status: 200, error: null })
      expect(id).toMatch(/^batch_req_[0-9a-f]{32}$/)
      expect(answer.choices).toEqual(alone.choices)
      expect(answer.usage?.completion_tokens).toBe(alone.usage?.completion_tokens)
    }
    const output = await client.files.retrieve(batch.output_file_id!)
    const text = await (await client.files.content(output.id)).text()
    expect(output).toMatchObject({ purpose: 'batch_output', filename: `${batch.id}_output.jsonl`, object: 'file' })
    expect(output.bytes).toBe(Buffer.byteLength(text))
  })

  test('takes every route that answers in one piece', async () => {
    const { client } = await serveBatches(llm, await newFolder())
    const ask = async (endpoint: string, body: object) => {
      const line = { custom_id: 'one', method: 'POST', url: endpoint, body: { model: modelName, ...body } }
      const { id } = await startBatch(client, [line], endpoint as '/v1/responses')
      const batch = await untilEnded(client, id)
      const [answer] = (await answersOf(client, batch.output_file_id ?? batch.error_file_id)).values()
      return answer!.response!
    }
    const input = 'Hello!'
    expect(await ask('/v1/responses', { input, max_output_tokens: 4 })).toMatchObject({ body: { object: 'response' } })
    expect(await ask('/v1/completions', { prompt: 'a', max_tokens: 2 })).toMatchObject({ status_code: 200 })
    // a model that generates refuses these in its own words
    for (const [route, body] of [
      ['/v1/embeddings', { input }],
      ['/v1/classify', { input }],
      ['/v1/score', { queries: input, documents: [input] }],
      ['/v1/rerank', { query: input, documents: [input] }],
    ] as const)
      expect(await ask(route, body)).toMatchObject({ status_code: 400, body: { error: { code: expect.anything() } } })
  })

  test('tells requests that fail in the file of errors, as the route would', async () => {
    const { client } = await serveBatches(llm, await newFolder())
    const { id } = await startBatch(client, [
      completionLine('good'),
      completionLine('hot', { temperature: 9 }),
      completionLine('streamed', { stream: true }),
      completionLine('long', { max_tokens: 100_000 }),
      completionLine('odd priority', { priority: 'high' }),
    ])
    const batch = await untilEnded(client, id)
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 5, completed: 1, failed: 4 } })
    expect([...(await answersOf(client, batch.output_file_id)).keys()]).toEqual(['good'])
    const errors = await answersOf(client, batch.error_file_id)
    for (const [name, param] of [
      ['hot', 'temperature'],
      ['streamed', 'stream'],
      ['long', 'max_tokens'],
      ['odd priority', 'priority'],
    ] as const)
      expect(errors.get(name)).toMatchObject({
        response: { status_code: 400, body: { error: { param, message: expect.stringContaining(param) } } },
        error: null,
      })
  })

  test('fails as a whole when a line is no request, and says which', async () => {
    const { client } = await serveBatches(llm, await newFolder())
    const { id } = await startBatch(client, [
      completionLine('good'),
      '{"custom_id": "torn"',
      '[1]',
      completionLine('good'),
      completionLine('elsewhere', {}, { url: '/v1/embeddings' }),
      completionLine('get', {}, { method: 'GET' }),
      completionLine('unknown', { model: 'gpt-4' }),
      completionLine('nameless', { model: undefined }),
      { url: '/v1/completions', body: {} },
      `{"custom_id": "deep", "url": ${'['.repeat(100)}`,
      completionLine('path', {}, { url: '/v1/../../etc/passwd' }),
      completionLine('admin', {}, { url: '/sleep' }),
      completionLine('bodiless', {}, { body: 'x' }),
    ])
    const batch = await untilEnded(client, id)
    expect(batch).toMatchObject({ status: 'failed', output_file_id: null, error_file_id: null })
    expect(batch.failed_at).toBeGreaterThan(0)
    expect(batch.errors!.data!.map(({ line, code, param }) => [line, code, param])).toEqual([
      [2, 'invalid_json_line', null],
      [3, 'invalid_line', null],
      [4, 'duplicate_custom_id', 'custom_id'],
      [5, 'invalid_url', 'url'],
      [6, 'invalid_method', 'method'],
      [7, 'model_not_found', 'body.model'],
      [8, 'missing_required_parameter', 'body.model'],
      [9, 'missing_required_parameter', 'custom_id'],
      [10, 'invalid_json_line', null],
      [11, 'invalid_url', 'url'],
      [12, 'invalid_url', 'url'],
      [13, 'invalid_body', 'body'],
    ])
  })

  test.each([
    ['nothing', ['', '  '], 'empty_file', {}],
    ['too many lines', [1, 2, 3].map((i) => completionLine(`${i}`)), 'too_many_lines', { batchMaxLines: 2 }],
    ['a line as long as no body may be', [completionLine('x'.repeat(3000))], 'line_too_long', { maxBodyBytes: 1024 }],
    ['a name as long as a novel', [completionLine('x'.repeat(3000))], 'invalid_custom_id', {}],
    ['a hundred faults', Array.from({ length: 500 }, () => '?'), 'invalid_json_line', {}],
  ])('fails for %s', async (_, lines, code, options) => {
    const { client } = await serveBatches(llm, await newFolder(), options)
    const batch = await untilEnded(client, (await startBatch(client, lines)).id)
    expect(batch.status).toBe('failed')
    expect(batch.errors!.data![0]!.code).toBe(code)
    expect(batch.errors!.data!.length).toBeLessThanOrEqual(100)
  })
})

describe('an end before the last answer', () => {
  const long = (n: number, max_tokens = 200) =>
    Array.from({ length: n }, (_, i) => completionLine(`n${i}`, { max_tokens, ignore_eos: true }))

  test.each([
    ['cancelling', 'cancelled', '24h'],
    ['its window', 'expired', `${2 * slowness}s`],
  ])('by %s ends what runs, keeps what is there and tells the rest', async (_, status, window) => {
    const { client } = await serveBatches(llm, await newFolder(), { batchMaxConcurrency: 2 })
    const numLines = 400
    const { id } = await startBatch(client, long(numLines, 20), '/v1/completions', { completion_window: window })
    if (status === 'cancelled') {
      await expect
        .poll(async () => (await client.batches.retrieve(id)).request_counts!.completed, { timeout: 20_000 * slowness })
        .toBeGreaterThan(0)
      const told = await client.batches.cancel(id)
      expect(['cancelling', 'cancelled']).toContain(told.status)
      expect(told.cancelling_at).toBeGreaterThan(0)
    }
    const batch = await untilEnded(client, id)
    await expectIdle(llm)
    expect(batch.status).toBe(status)
    const outputs = await answersOf(client, batch.output_file_id)
    const errors = await answersOf(client, batch.error_file_id)
    expect(outputs.size).toBeGreaterThan(0)
    expect(outputs.size + errors.size).toBe(numLines)
    expect(batch.request_counts).toEqual({ total: numLines, completed: outputs.size, failed: errors.size })
    for (const { response, error } of errors.values())
      expect({ response, code: error!.code }).toEqual({ response: null, code: `batch_${status}` })
    await expect(client.batches.cancel(id)).rejects.toThrow(`400 the batch cannot be cancelled: it is ${status}`)
  })

  test('by a server that ends is none: the next one goes on, and no line is answered twice', async () => {
    const folder = await newFolder()
    const first = await serveBatches(llm, folder, { batchMaxConcurrency: 3 })
    const lines = long(40, 30)
    const { id } = await startBatch(first.client, lines)
    const waiting = await startBatch(first.client, [completionLine('last')])
    await expect
      .poll(async () => (await first.client.batches.retrieve(id)).request_counts!.completed, {
        timeout: 20_000 * slowness,
      })
      .toBeGreaterThan(4)
    expect(await first.close()).toBe(true)
    await expectIdle(llm)
    const second = await serveBatches(llm, folder)
    const resumed = await second.client.batches.retrieve(id)
    expect(resumed.status).toBe('in_progress')
    expect(resumed.request_counts!.completed).toBeGreaterThan(4)
    const batch = await untilEnded(second.client, id)
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 40, completed: 40, failed: 0 } })
    const answers = await answersOf(second.client, batch.output_file_id)
    expect([...answers.keys()].toSorted()).toEqual(lines.map((_, i) => `n${i}`).toSorted())
    expect((await untilEnded(second.client, waiting.id)).status).toBe('completed')
    // what is done stays as it is
    await second.close()
    const third = await serveBatches(llm, folder)
    expect(await third.client.batches.retrieve(id)).toEqual(batch)
    expect(await answersOf(third.client, batch.output_file_id)).toEqual(answers)
    expect((await readdir(join(folder, 'files'))).filter((name) => !/^file-\w{32}\.jsonl?$/.test(name))).toEqual([])
  })

  test('a batch may be cancelled before it had its turn', async () => {
    const { client } = await serveBatches(llm, await newFolder(), { batchMaxConcurrency: 1 })
    const first = await startBatch(client, long(30))
    const second = await startBatch(client, long(3))
    await expect.poll(async () => (await client.batches.retrieve(second.id)).status).toBe('in_progress')
    await client.batches.cancel(second.id)
    const batch = await untilEnded(client, second.id)
    expect(batch).toMatchObject({ status: 'cancelled', request_counts: { total: 3, completed: 0, failed: 3 } })
    expect((await client.batches.retrieve(first.id)).status).toBe('in_progress')
    await client.batches.cancel(first.id)
    await untilEnded(client, first.id)
  })
})

test('an engine that dies in the middle costs no line its answer', async () => {
  const { client } = await serveBatches(llm, await newFolder())
  const lines = Array.from({ length: 40 }, (_, i) => completionLine(`n${i}`, { max_tokens: 30, ignore_eos: true }))
  const { id } = await startBatch(client, lines)
  await expect
    .poll(async () => (await client.batches.retrieve(id)).request_counts!.completed, { timeout: 20_000 * slowness })
    .toBeGreaterThan(0)
  await llm.restartEngine()
  const batch = await untilEnded(client, id)
  expect(batch).toMatchObject({ status: 'completed', request_counts: { total: 40, completed: 40, failed: 0 } })
  expect((await answersOf(client, batch.output_file_id)).size).toBe(40)
})

test('a batch rests while its key is not known', async () => {
  const folder = await newFolder()
  const [key, other] = ['sk-of-somebody', 'sk-of-another'] as const
  const first = await serveBatches(llm, folder, { apiKeys: [key], batchMaxConcurrency: 1 })
  const lines = Array.from({ length: 20 }, (_, i) => completionLine(`n${i}`, { max_tokens: 20, ignore_eos: true }))
  const { id } = await startBatch(first.clientOf(key), lines)
  await first.close()
  const second = await serveBatches(llm, folder, { apiKeys: [other], logLevel: 'error' })
  await untilEnded(second.clientOf(other), (await startBatch(second.clientOf(other), lines)).id)
  await second.close()
  const third = await serveBatches(llm, folder, { apiKeys: [other, key] })
  expect((await untilEnded(third.clientOf(key), id)).status).toBe('completed')
})

test('a file that somebody took from the disk ends its batch, and the log says why', async () => {
  const folder = await newFolder()
  const { client } = await serveBatches(llm, folder, { logLevel: 'silent' })
  const { id: input } = await upload(client, [completionLine('a')])
  await rm(join(folder, 'files', `${input}.jsonl`))
  const batch = await client.batches.create({
    input_file_id: input,
    endpoint: '/v1/completions',
    completion_window: '24h',
  })
  expect(await untilEnded(client, batch.id)).toMatchObject({
    status: 'failed',
    errors: { data: [{ code: 'internal_error', line: null }] },
  })
})

test('requests that somebody waits for go before those of a batch', async () => {
  const { client } = await serveBatches(llm, await newFolder(), { batchMaxConcurrency: 64 })
  const lines = Array.from({ length: 64 }, (_, i) => completionLine(`n${i}`, { max_tokens: 100, ignore_eos: true }))
  // one that says of itself that it is urgent is no more so than others
  for (const priority of [-5, null])
    lines.push(completionLine(`urgent ${priority}`, { priority, user: null, max_tokens: 100, ignore_eos: true }))
  const { id } = await startBatch(client, lines)
  await expect.poll(async () => (await llm.stats()).waiting, { timeout: 20_000 * slowness }).toBeGreaterThan(16)
  await client.completions.create({ model: modelName, prompt: 'now', max_tokens: 20, temperature: 0 })
  const { request_counts: counts } = await client.batches.retrieve(id)
  // 16 run at once: one that had to queue would have come after nearly all
  expect(counts!.completed).toBeLessThan(32)
  await client.batches.cancel(id)
  await untilEnded(client, id)
})

test('what a batch does is counted, and no part of what its key may ask', async () => {
  const key = { key: 'sk-of-somebody', name: 'somebody', requestsPerMinute: 40, tokensPerMinute: 100 }
  const { clientOf, url } = await serveBatches(llm, await newFolder(), { apiKeys: [key] })
  const client = clientOf(key.key)
  const lines = Array.from({ length: 60 }, (_, i) => completionLine(`n${i}`))
  const { id } = await startBatch(client, lines)
  // looking costs nothing
  while ((await client.batches.retrieve(id)).status !== 'completed') await new Promise((done) => setTimeout(done, 20))
  const { response } = await client.completions.create({ model: modelName, prompt: 'a', max_tokens: 1 }).withResponse()
  expect(response.headers.get('x-ratelimit-remaining-tokens')).toMatch(/^9\d$/)
  const metrics = await (await fetch(`${url}/metrics`, { headers: { 'x-api-key': key.key } })).text()
  const requests = /^http_requests_total\{.*path="\/v1\/completions".*\} (\d+)$/m.exec(metrics)![1]
  expect(Number(requests)).toBe(61)
  expect(metricOf(metrics, 'vllm:generation_tokens_total')).toBeGreaterThan(60)
})

test('lists come in pages, the youngest first', async () => {
  const { client } = await serveBatches(llm, await newFolder())
  const { id } = await upload(client, [completionLine('a')])
  const made: string[] = []
  for (let i = 0; i < 5; i++) {
    const batch = await client.batches.create({
      input_file_id: id,
      endpoint: '/v1/completions',
      completion_window: '24h',
    })
    made.unshift(batch.id)
  }
  const listed: string[] = []
  for await (const batch of client.batches.list({ limit: 2 })) listed.push(batch.id)
  expect(listed).toEqual(made)
  expect(await client.batches.list({ limit: 2 })).toMatchObject({ has_more: true, data: [{}, {}] })
  await expect(client.batches.list({ limit: 101 })).rejects.toThrow('limit: must be a number from 1 to 100')
  await expect(client.batches.list({ after: 'batch_none' })).rejects.toThrow('after: there is nothing of that id')
  await Promise.all(made.map((one) => untilEnded(client, one)))
})

test.each<[string, object, string]>([
  ['an endpoint', { endpoint: '/v1/images' }, 'endpoint: must be one of /v1/chat/completions'],
  ['a window', { completion_window: 'soon' }, 'completion_window: must be a time such as 24h'],
  ['a long window', { completion_window: '30d' }, 'completion_window: must be at most 14d'],
  ['no file', { input_file_id: undefined }, 'input_file_id: is required'],
  ['an unknown file', { input_file_id: 'file-0' }, 'there is no file "file-0"'],
  ['metadata', { metadata: { a: 1 } }, 'metadata.a'],
  ['more', { priority: 1 }, 'priority: there is no such parameter'],
])('%s that is wrong is refused', async (_, body, message) => {
  const { client } = await serveBatches(llm, await newFolder())
  const { id } = await upload(client, [completionLine('a')])
  const whole = { input_file_id: id, endpoint: '/v1/completions', completion_window: '24h', ...body }
  await expect(client.batches.create(whole as OpenAI.BatchCreateParams)).rejects.toThrow(message)
})
