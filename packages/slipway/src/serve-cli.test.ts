import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { start } from './testing/spawn.ts'

const key = 'sk-of-a-command-line-test'
const headers = { 'content-type': 'application/json', authorization: `Bearer ${key}` }

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-serve-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Starts a server; `lines` are its log. */
async function serving(args: readonly string[] = []) {
  const running = start(['serve', '--port', '0', '--served-model-name', 'tiny', ...args])
  const url = await running.until(/serving on (http:\S+)/)
  const lines = async () =>
    (await running.ended).err
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  return { ...running, url, lines }
}

function ask(url: string, body: object = {}): Promise<Response> {
  const text = JSON.stringify({ model: 'tiny', messages: [{ role: 'user', content: 'Hello!' }], ...body })
  return fetch(`${url}/v1/chat/completions`, { method: 'POST', headers, body: text })
}

test('a file sets it up; the log and GET /config show what is in effect, without keys', async () => {
  const file = join(folder, 'slipway.yaml')
  await writeFile(file, `api-keys:\n  - key: ${key}\n    name: tester\nmax-num-seqs: 7\nrequests-per-minute: 2\n`)
  const { child, url, lines } = await serving(['--config', file, '--max-model-len', '256'])
  expect((await fetch(`${url}/config`)).status).toBe(401)
  const shown = (await (await fetch(`${url}/config`, { headers })).json()) as { name: string }[]
  const settings = Object.fromEntries(shown.map((setting) => [setting.name, setting]))
  expect(settings).toMatchObject({
    maxNumSeqs: { value: 7, source: 'file' },
    maxModelLen: { value: 256, source: 'flag' },
    blockSize: { value: 64, source: 'default' },
    apiKeys: { value: ['***'], source: 'file' },
  })
  expect((await ask(url, { max_tokens: 2 })).status).toBe(200)
  expect((await ask(url, { max_tokens: 2 })).status).toBe(200)
  expect((await ask(url, { max_tokens: 2 })).status).toBe(429)
  child.kill('SIGTERM')
  const log = await lines()
  expect(log[0]).toMatchObject({ msg: 'effective configuration', config: shown })
  const requests = log.filter(({ route }) => route === '/v1/chat/completions')
  expect(requests.map(({ status, key: name }) => [status, name])).toEqual([
    [200, 'tester'],
    [200, 'tester'],
    [429, 'tester'],
  ])
  expect(JSON.stringify(log)).not.toContain(key)
})

describe('an orderly end', () => {
  const long = { max_tokens: 1500, ignore_eos: true }

  test('SIGTERM lets requests end, refuses new ones, and the exit code is 0', async () => {
    const { child, ended, url } = await serving(['--drain-seconds', '60'])
    const answer = ask(url, { max_tokens: 300, ignore_eos: true })
    await untilBusy(url)
    child.kill('SIGTERM')
    await expect.poll(async () => (await fetch(`${url}/ready`)).status).toBe(503)
    expect((await ask(url)).status).toBe(503)
    expect(await (await answer).json()).toMatchObject({ usage: { completion_tokens: 300 } })
    expect((await ended).code).toBe(0)
  })

  test('requests that take too long are cut off, and the exit code is 3', async () => {
    const { child, ended, url } = await serving(['--drain-seconds', '0.1'])
    const answer = ask(url, long)
    await untilBusy(url)
    child.kill('SIGINT')
    expect((await answer).status).toBe(503)
    expect((await ended).code).toBe(3)
  })

  test('a second signal ends at once, with its number', async () => {
    const { child, ended, url } = await serving(['--drain-seconds', '60'])
    const answer = ask(url, long).catch((error: unknown) => error)
    await untilBusy(url)
    child.kill('SIGTERM')
    await expect.poll(async () => (await fetch(`${url}/ready`)).status).toBe(503)
    child.kill('SIGTERM')
    expect((await ended).code).toBe(143)
    expect(await answer).toBeInstanceOf(Error)
  })

  async function untilBusy(url: string): Promise<void> {
    await expect
      .poll(async () => ((await (await fetch(`${url}/load`)).json()) as { running: number }).running, {
        timeout: 10_000,
      })
      .toBeGreaterThan(0)
  }
})
