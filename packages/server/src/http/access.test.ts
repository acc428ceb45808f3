import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { expectIdle, modelName, post, untilBusy, useModel } from '../testing/harness.ts'
import type { ServerOptions } from '../options.ts'

const chat = { model: modelName, messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 }
const path = '/v1/chat/completions'
const keys = ['sk-first-of-two', 'sk-second-of-two'] as const

const llm = useModel()

function appWith(options: ServerOptions) {
  return createApp(llm, { servedModelNames: [modelName], ...options })
}

function ask(app: ReturnType<typeof appWith>, key: string, body: object = chat): Promise<Response> {
  return post(app, path, body, { headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` } })
}

describe('keys', () => {
  const app = () => appWith({ apiKeys: [...keys] })

  test('either header opens, and every key', async () => {
    for (const key of keys) {
      expect((await ask(app(), key)).status).toBe(200)
      expect((await app().request('/v1/models', { headers: { 'x-api-key': key } })).status).toBe(200)
    }
  })

  test.each([
    ['no key', {}],
    ['another key', { authorization: 'Bearer sk-third' }],
    ['the beginning of a key', { authorization: `Bearer ${keys[0].slice(0, -1)}` }],
    ['a key and more', { authorization: `Bearer ${keys[0]}x` }],
    ['another scheme', { authorization: `Basic ${keys[0]}` }],
    ['an empty key', { 'x-api-key': '' }],
  ])('%s is 401 on every route that says something', async (_, headers) => {
    for (const route of ['/v1/models', '/metrics', '/load', '/config', '/no/such/route', '/v1//models', '/V1/models']) {
      const response = await app().request(route, { headers: headers as Record<string, string> })
      expect(response.status, route).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
      expect(await response.json()).toMatchObject({
        error: { type: 'invalid_request_error', code: 'invalid_api_key', param: null },
      })
    }
    expect((await post(app(), path, chat)).status).toBe(401)
  })

  test('what says nothing needs none', async () => {
    for (const route of ['/health', '/ready', '/version']) expect((await app().request(route)).status).toBe(200)
  })

  test('a body is not read before the key is known', async () => {
    let isRead = false
    const body = new ReadableStream(
      {
        pull(controller) {
          isRead = true
          controller.enqueue(new Uint8Array(10))
        },
      },
      { highWaterMark: 0 },
    )
    const init = {
      method: 'POST',
      body,
      duplex: 'half',
      headers: { 'content-type': 'application/json' },
    } as RequestInit
    expect((await app().request(path, init)).status).toBe(401)
    expect(isRead).toBe(false)
  })
})

describe('keys from a file', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-keys-'))
  const file = join(folder, 'keys')
  afterAll(() => rmSync(folder, { recursive: true }))

  test('one per line', async () => {
    writeFileSync(file, `# ours\n${keys[0]}\r\n\n  ${keys[1]}\n`)
    const app = appWith({ apiKeyFile: file })
    for (const key of keys) expect((await ask(app, key)).status).toBe(200)
    expect((await ask(app, '# ours')).status).toBe(401)
  })

  test.each([
    ['no key', '# none\n', 'has no key'],
    ['a short key', 'short\n', 'number 1'],
  ])('%s is refused', (_, text, message) => {
    writeFileSync(file, text)
    expect(() => appWith({ apiKeyFile: file })).toThrow(message)
  })

  test('that is not there is refused', () => {
    expect(() => appWith({ apiKeyFile: join(folder, 'none') })).toThrow('option apiKeyFile: ')
  })
})

test.each<[string, ServerOptions, string]>([
  ['limits without keys', { requestsPerMinute: 5 }, 'requestsPerMinute: it holds for every key, but there are none'],
  ['a key given twice', { apiKeys: [keys[0], { key: keys[0] }] }, 'a key is given twice'],
  ['a key that can be guessed', { apiKeys: ['short'] }, 'option apiKeys.0'],
  ['a key that fits in no header', { apiKeys: ['with a space in it'] }, 'printable ASCII'],
])('%s is refused at once', (_, options, message) => {
  expect(() => appWith(options)).toThrow(message)
})

describe('limits of a key', () => {
  test('requests per minute, each key by itself, with headers and the time to wait', async () => {
    const app = appWith({ apiKeys: [...keys], requestsPerMinute: 2 })
    const first = await ask(app, keys[0])
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2')
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1')
    expect(first.headers.get('x-ratelimit-reset-requests')).toMatch(/^(\d+s|[\d.]+s)$/)
    expect((await ask(app, keys[0])).status).toBe(200)
    const refused = await ask(app, keys[0])
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(20)
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0')
    expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } })
    expect((await ask(app, keys[1])).status).toBe(200)
    const models = await app.request('/v1/models', { headers: { 'x-api-key': keys[0] } })
    expect(models.status).toBe(200)
  })

  test('requests at once, until the last byte of a stream', async () => {
    const app = appWith({ apiKeys: [...keys], maxConcurrentRequests: 1 })
    const long = { ...chat, stream: true, max_tokens: 100, ignore_eos: true }
    const stream = await ask(app, keys[0], long)
    expect((await ask(app, keys[0])).status).toBe(429)
    expect((await ask(app, keys[1])).status).toBe(200)
    await stream.text()
    expect((await ask(app, keys[0])).status).toBe(200)
    // a client that goes gives its place back
    const left = await ask(app, keys[0], long)
    await left.body!.cancel()
    expect((await ask(app, keys[0])).status).toBe(200)
    // and so does one that is refused
    expect((await ask(app, keys[0], { ...chat, temperature: 9 })).status).toBe(400)
    expect((await ask(app, keys[0])).status).toBe(200)
  })

  test('tokens of prompts and answers', async () => {
    const app = appWith({ apiKeys: [{ key: keys[0], name: 'small', tokensPerMinute: 20 }, keys[1]] })
    const answer = await ask(app, keys[0], { ...chat, max_tokens: 30, ignore_eos: true })
    expect(answer.status).toBe(200)
    const { usage } = (await answer.json()) as { usage: { total_tokens: number } }
    expect(usage.total_tokens).toBeGreaterThan(30)
    expect(answer.headers.get('x-ratelimit-remaining-tokens')).toBe('0')
    const refused = await ask(app, keys[0])
    expect(refused.status).toBe(429)
    // overdrawn: what was used beyond the limit has to come back first
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(30)
    const other = await ask(app, keys[1])
    expect(other.status).toBe(200)
    expect(other.headers.get('x-ratelimit-limit-tokens')).toBeNull()
  })
})

describe('names of the server', () => {
  const get = (options: ServerOptions, host: string) => appWith(options).request('/version', { headers: { host } })

  test.each(['localhost', 'LOCALHOST:8000', '127.0.0.1:1', '[::1]:8000'])('%s is this machine', async (host) => {
    expect((await get({}, host)).status).toBe(200)
  })

  test('a page whose name points here is refused', async () => {
    const response = await get({}, 'attacker.example:8000')
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ error: { code: 'host_not_allowed' } })
  })

  test('other names can be allowed, and all are where all of the net is served', async () => {
    expect((await get({ allowedHosts: ['api.example'] }, 'api.example')).status).toBe(200)
    expect((await get({ allowedHosts: ['api.example'] }, 'localhost:80')).status).toBe(200)
    expect((await get({ host: '0.0.0.0' }, 'api.example')).status).toBe(200)
    expect((await get({ host: '0.0.0.0', allowedHosts: ['api.example'] }, 'b.example')).status).toBe(403)
  })
})

test('CORS answers before the key is asked for, and shows the limits to the page', async () => {
  const app = appWith({ apiKeys: [...keys], corsOrigins: ['https://page.example'], requestsPerMinute: 9 })
  const origin = { origin: 'https://page.example', 'access-control-request-method': 'POST' }
  const preflight = await app.request(path, { method: 'OPTIONS', headers: origin })
  expect(preflight.status).toBe(204)
  expect(preflight.headers.get('access-control-allow-origin')).toBe('https://page.example')
  const other = await app.request(path, { method: 'OPTIONS', headers: { ...origin, origin: 'https://other.example' } })
  expect(other.headers.get('access-control-allow-origin')).toBeNull()
  const headers = { ...origin, authorization: `Bearer ${keys[0]}`, 'content-type': 'application/json' }
  const answer = await post(app, path, chat, { headers })
  expect(answer.headers.get('access-control-expose-headers')).toContain('x-ratelimit-remaining-requests')
  expect((await untilIdleStatus(app)).status).toBe(200)
})

async function untilIdleStatus(app: ReturnType<typeof appWith>): Promise<Response> {
  await expectIdle(llm)
  return app.request('/ready')
}

test('a busy key is not held up by its own limit after an abort in the queue', async () => {
  const app = appWith({ apiKeys: [...keys], maxConcurrentRequests: 2 })
  const abort = new AbortController()
  const init = {
    headers: { 'content-type': 'application/json', authorization: `Bearer ${keys[0]}` },
    signal: abort.signal,
  }
  const answers = [1, 2].map(() => post(app, path, { ...chat, max_tokens: 300, ignore_eos: true }, init))
  await untilBusy(llm, 2)
  expect((await ask(app, keys[0])).status).toBe(429)
  abort.abort()
  await Promise.allSettled(answers)
  expect((await ask(app, keys[0])).status).toBe(200)
})
