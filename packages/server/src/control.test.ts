import { beforeAll, describe, expect, test } from 'vitest'
import { createApp } from './app.ts'
import { expectIdle, modelName, untilBusy, useModel } from './testing/harness.ts'

const adminKey = 'let-me-in'
const llm = useModel()

const appWith = (key?: string) => createApp(llm, { servedModelNames: [modelName], ...(key && { adminKey: key }) })

describe('the admin key', () => {
  const call = async (app: ReturnType<typeof appWith>, authorization?: string, method = 'POST') => {
    const headers = authorization === undefined ? {} : { authorization }
    return app.request('/reset_prefix_cache', { method, headers })
  }

  test('opens its routes, and no others, where clients have keys of their own', async () => {
    const app = createApp(llm, { servedModelNames: [modelName], adminKey, apiKeys: ['for-clients'] })
    const ask = async (path: string, key: string, method = 'POST') =>
      (await app.request(path, { method, headers: { authorization: `Bearer ${key}` } })).status
    expect(await ask('/reset_prefix_cache', adminKey)).toBe(200)
    expect(await ask('/reset_prefix_cache', 'for-clients')).toBe(401)
    expect(await ask('/v1/models', 'for-clients', 'GET')).toBe(200)
    expect(await ask('/v1/models', adminKey, 'GET')).toBe(401)
  })

  test('without one the routes do not exist', async () => {
    const response = await call(appWith(), `Bearer ${adminKey}`)
    expect(response.status).toBe(404)
  })

  test.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer let-me-i',
    'Bearer let-me-in-',
    'Bearer LET-ME-IN',
    'Basic let-me-in',
    'let-me-in',
    'Bearer let-me-in let-me-in',
  ])('%j does not open', async (authorization) => {
    const response = await call(appWith(adminKey), authorization)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer')
    const { error } = (await response.json()) as { error: { type: string; code: string } }
    expect(error).toMatchObject({ type: 'invalid_request_error', code: 'invalid_api_key' })
  })

  test('the right one opens, whatever the case of the scheme', async () => {
    for (const scheme of ['Bearer', 'bearer']) {
      const response = await call(appWith(adminKey), `${scheme} ${adminKey}`)
      expect(response.status).toBe(200)
    }
    const wrongMethod = await call(appWith(adminKey), `Bearer ${adminKey}`, 'GET')
    expect(wrongMethod.status).toBe(405)
  })

  test('one that no client can send is refused', () => {
    expect(() => appWith('with a space')).toThrow('option adminKey')
  })
})

describe('the routes', () => {
  const app = () => appWith(adminKey)
  const send = async (path: string, body?: unknown, method = 'POST') => {
    const headers = {
      authorization: `Bearer ${adminKey}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    }
    const response = await served.request(path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: response.status, body: (await response.json()) as Record<string, unknown> }
  }
  const complete = (id = 'one', maxTokens = 8) =>
    served.request('/v1/completions', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-request-id': id },
      body: JSON.stringify({ model: modelName, prompt: [5, 6, 7], max_tokens: maxTokens, seed: 1, ignore_eos: true }),
    })
  const health = async () => {
    const response = await served.request('/health')
    return [response.status, ((await response.json()) as { status: string }).status]
  }
  let served = appWith(adminKey)
  beforeAll(() => (served = app()))

  test('pause, and resume', async () => {
    expect(await send('/pause?mode=wait&clear_cache=true')).toMatchObject({
      status: 200,
      body: { is_paused: true, is_sleeping: false },
    })
    expect(await health()).toEqual([200, 'paused'])
    const late = complete()
    expect((await send('/is_paused', undefined, 'GET')).body).toMatchObject({ is_paused: true })
    expect((await send('/resume')).body).toMatchObject({ is_paused: false })
    expect((await late).status).toBe(200)
    expect(await health()).toEqual([200, 'ready'])
  })

  test('sleep, and wake up', async () => {
    const before = await (await complete()).json()
    expect((await send('/sleep', { level: 1 })).body).toMatchObject({ is_sleeping: true })
    expect(await health()).toEqual([503, 'sleeping'])
    const refused = await complete()
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await refused.json()).toMatchObject({ error: { code: 'sleeping' } })
    expect((await send('/resume')).status).toBe(400)
    expect((await send('/wake_up?tags=weights')).body).toMatchObject({ is_sleeping: true })
    expect((await send('/is_sleeping', undefined, 'GET')).body).toMatchObject({ is_sleeping: true })
    expect((await send('/wake_up', { tags: ['kv_cache'] })).body).toMatchObject({
      is_paused: false,
      is_sleeping: false,
    })
    const { choices } = (await (await complete()).json()) as { choices: unknown }
    expect(choices).toEqual((before as { choices: unknown }).choices)
    expect((await send('/sleep?level=2&mode=keep')).status).toBe(200)
    expect(await send('/wake_up')).toMatchObject({ status: 400, body: { error: { code: 'no_weights' } } })
    expect((await send('/update_weights')).body).toMatchObject({ status: 'success' })
    expect((await send('/wake_up')).body).toMatchObject({ is_sleeping: false })
  })

  test('new weights change the fingerprint of answers, and bad ones change nothing', async () => {
    const fingerprint = async () =>
      ((await (await complete()).json()) as { system_fingerprint: string }).system_fingerprint
    const before = await fingerprint()
    expect(await send('/update_weights', { directory: '/nowhere' })).toMatchObject({ status: 400 })
    expect(await fingerprint()).toBe(before)
  })

  test('requests are ended by either of their names, or all at once', async () => {
    const answers = [complete('mine', 400), complete('yours', 400), complete('ours', 400)]
    await untilBusy(llm, 3)
    const { body } = await send('/abort_requests', { request_ids: ['mine', 'nobody'] })
    expect(body['aborted']).toEqual([expect.stringMatching(/^cmpl-/)])
    const ended = await answers[0]!
    expect(ended.status).toBe(503)
    expect(await ended.json()).toMatchObject({ error: { code: 'aborted' } })
    expect((await send('/abort_requests?abort_all=true')).body['aborted']).toHaveLength(2)
    expect((await answers[2]!).status).toBe(503)
    await expectIdle(llm)
  })

  test.each([
    ['/pause', { mode: 'stop' }, 'mode'],
    ['/pause', { until: 'noon' }, 'until'],
    ['/pause', { clear_cache: 'perhaps' }, 'clear_cache'],
    ['/sleep', { level: 3 }, 'level'],
    ['/wake_up', { tags: ['all'] }, 'tags'],
    ['/update_weights', { directory: 7 }, 'directory'],
    ['/update_weights', { version: '2' }, 'version'],
    ['/abort_requests', {}, 'request_ids'],
    ['/abort_requests', { request_ids: ['a'], abort_all: true }, 'request_ids'],
    ['/resume', { force: true }, 'force'],
    ['/reset_prefix_cache', { all: true }, 'all'],
  ])('%s refuses %j', async (path, body, param) => {
    const answer = await send(path, body)
    expect(answer.status).toBe(400)
    expect((answer.body['error'] as { param: string }).param).toMatch(param)
    expect((await llm.stats()).running).toBe(0)
    expect([llm.isPaused, llm.isSleeping]).toEqual([false, false])
  })
})
