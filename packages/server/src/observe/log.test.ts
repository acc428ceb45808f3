import { Writable } from 'node:stream'
import { pino, type Level } from 'pino'
import { expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { expectIdle, modelName, post, useModel } from '../testing/harness.ts'
import type { ServerOptions } from '../options.ts'

const secret = 'a secret wish'
const chat = { model: modelName, messages: [{ role: 'user', content: secret }], max_tokens: 6, ignore_eos: true }
const path = '/v1/chat/completions'

const llm = useModel()

function logged(options: ServerOptions = {}, level: Level = 'info') {
  const lines: Record<string, unknown>[] = []
  const stream = new Writable({
    write(chunk: Buffer, _, done) {
      for (const line of chunk.toString().trim().split('\n')) lines.push(JSON.parse(line) as Record<string, unknown>)
      done()
    },
  })
  const app = createApp(llm, { servedModelNames: [modelName], ...options, logger: pino({ level }, stream) })
  return { app, lines }
}

test('one line per request, with its id, its tokens and where its time went', async () => {
  const { app, lines } = logged({ apiKeys: [{ key: 'sk-of-a-test', name: 'tester' }] })
  const headers = { 'content-type': 'application/json', 'x-api-key': 'sk-of-a-test', 'x-request-id': 'mine-1' }
  const answer = (await (await post(app, path, chat, { headers })).json()) as { usage: { prompt_tokens: number } }
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({
    requestId: 'mine-1',
    method: 'POST',
    route: path,
    status: 200,
    key: 'tester',
    promptTokens: answer.usage.prompt_tokens,
    completionTokens: 6,
    finishReasons: ['length'],
    msg: 'request',
  })
  const [times] = lines[0]!['times'] as Record<string, number>[]
  const { queued, prefill, firstToken, decode, total } = times!
  expect(queued! + prefill!).toBeLessThanOrEqual(firstToken! + 0.2)
  expect(firstToken! + decode!).toBeLessThanOrEqual(total! + 0.2)
  expect(total).toBeLessThanOrEqual((lines[0]!['ms'] as number) + 0.2)
  expect(decode).toBeGreaterThan(0)
  const text = JSON.stringify(lines)
  expect(text).not.toContain(secret)
  expect(text).not.toContain('sk-of-a-test')
})

test('a stream is logged when it has ended, one that was left too', async () => {
  const { app, lines } = logged()
  const stream = await post(app, path, { ...chat, stream: true })
  expect(lines).toHaveLength(0)
  await stream.text()
  expect(lines).toHaveLength(1)
  const left = await post(app, path, { ...chat, stream: true, max_tokens: 300 })
  await left.body!.cancel()
  await expectIdle(llm)
  expect(lines).toHaveLength(2)
  expect(lines[1]).toMatchObject({ status: 200, finishReasons: ['abort'] })
})

test('refusals are logged, without the body', async () => {
  const { app, lines } = logged()
  await post(app, path, { ...chat, temperature: 99 })
  await app.request(`/${secret.replaceAll(' ', '-')}`)
  expect(lines).toMatchObject([
    { status: 400, route: path },
    { status: 404, route: 'other' },
  ])
  expect(JSON.stringify(lines)).not.toContain('secret')
})

test('prompts are logged where that is asked for', async () => {
  const { app, lines } = logged({ logPrompts: true })
  await post(app, path, chat)
  expect((lines[0]!['prompts'] as string[])[0]).toContain(secret)
})

test('line ends in an id cannot forge a line', async () => {
  const { app, lines } = logged()
  const response = await app.request('/version', { headers: { 'x-request-id': 'a b' } })
  expect(response.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/)
  expect(lines[0]!['requestId']).toBe(response.headers.get('x-request-id'))
})

test('at level warn nothing is said of what went well', async () => {
  const { app, lines } = logged({}, 'warn')
  await post(app, path, chat)
  expect(lines).toEqual([])
})
