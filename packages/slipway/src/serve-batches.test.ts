import { appendFile, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { start } from './testing/spawn.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-serve-batches-'))
})
afterAll(() => rm(folder, { recursive: true }))

test('a server that is killed loses no answer of a batch and gives none twice', async () => {
  const serving = async () => {
    const args = ['serve', '--port', '0', '--served-model-name', 'tiny', '--batch-directory', folder]
    const running = start([...args, '--batch-max-concurrency', '4', '--max-model-len', '256'])
    onTestFinished(() => void running.child.kill('SIGKILL'))
    const url = await running.until(/serving on (http:\S+)/)
    return { ...running, client: new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' }) }
  }
  const first = await serving()
  const lines = Array.from({ length: 60 }, (_, i) => {
    const body = { model: 'tiny', prompt: `${i} is`, max_tokens: 80, ignore_eos: true, seed: i }
    return JSON.stringify({ custom_id: `n${i}`, method: 'POST', url: '/v1/completions', body })
  })
  const file = await toFile(Buffer.from(lines.join('\n')), 'lines.jsonl')
  const { id: input } = await first.client.files.create({ purpose: 'batch', file })
  const { id } = await first.client.batches.create({
    input_file_id: input,
    endpoint: '/v1/completions',
    completion_window: '24h',
  })
  const numDone = async ({ client }: typeof first) => (await client.batches.retrieve(id)).request_counts!.completed
  await expect.poll(() => numDone(first), { timeout: 60_000 }).toBeGreaterThan(5)
  first.child.kill('SIGKILL')
  await first.ended
  // as if the last line had been cut off
  const names = (await readdir(join(folder, 'files'))).filter(
    (name) => name.endsWith('.jsonl') && !name.includes(input),
  )
  const texts = await Promise.all(names.map((name) => readFile(join(folder, 'files', name), 'utf8')))
  // the other one is for errors
  const at = texts.findIndex((text) => text !== '')
  const [path, before] = [join(folder, 'files', names[at]!), texts[at]!]
  expect(before.split('\n').length).toBeGreaterThan(5)
  await appendFile(path, '{"id": "batch_req_torn", "custom_id": "n59", "resp')
  const second = await serving()
  await expect
    .poll(async () => (await second.client.batches.retrieve(id)).status, { timeout: 120_000 })
    .toBe('completed')
  const batch = await second.client.batches.retrieve(id)
  expect(batch.request_counts).toEqual({ total: 60, completed: 60, failed: 0 })
  const text = await (await second.client.files.content(batch.output_file_id!)).text()
  expect(text.startsWith(before.slice(0, before.lastIndexOf('\n') + 1))).toBe(true)
  const answered = text
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { custom_id: string }).custom_id)
  expect(answered.toSorted()).toEqual(Array.from({ length: 60 }, (_, i) => `n${i}`).toSorted())
  second.child.kill('SIGTERM')
  expect((await second.ended).code).toBe(0)
}, 200_000)
