import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import type { LLM } from '@slipway/engine'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { appOf, createApp } from '../app.ts'
import { createContext } from '../context.ts'
import {
  answersOf,
  completionLine,
  newFolder,
  serveBatches,
  startBatch,
  untilEnded,
  upload,
} from '../testing/batches.ts'
import { modelName, startModel } from '../testing/harness.ts'
import { BatchStore } from './store.ts'

let llm: LLM
beforeAll(async () => {
  llm = startModel()
  await llm.ready
})
afterAll(() => llm.close())

const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => (i * 31) % 251))

async function namesIn(folder: string): Promise<string[]> {
  return readdir(join(folder, 'files'))
}

describe('a file', () => {
  test('is kept as it is, shown and deleted', async () => {
    const folder = await newFolder()
    const { client } = await serveBatches(llm, folder)
    const bytes = bytesOf(300_000)
    const name = '../../etc/"passwd"\r\n\0.jsonl'
    const file = await client.files.create({ purpose: 'batch', file: await toFile(bytes, name) })
    expect(file).toMatchObject({ object: 'file', bytes: 300_000, purpose: 'batch', status: 'processed' })
    expect(file.id).toMatch(/^file-[0-9a-f]{32}$/)
    expect(file.expires_at).toBe(file.created_at + 30 * 86_400)
    expect(await client.files.retrieve(file.id)).toEqual(file)
    const content = await client.files.content(file.id)
    expect(content.headers.get('content-disposition')).toBe(`attachment; filename="${file.id}.jsonl"`)
    expect(Buffer.from(await content.arrayBuffer()).equals(bytes)).toBe(true)
    expect(await namesIn(folder)).toEqual([`${file.id}.json`, `${file.id}.jsonl`])
    expect((await stat(join(folder, 'files', `${file.id}.jsonl`))).mode & 0o077).toBe(0)
    const other = await client.files.create({
      purpose: 'batch',
      file: await toFile(bytesOf(9), 'b'),
      expires_after: { anchor: 'created_at', seconds: 3600 },
    })
    expect(other.expires_at).toBe(other.created_at + 3600)
    const listed: string[] = []
    for await (const one of client.files.list({ limit: 1 })) listed.push(one.id)
    expect(listed).toEqual([other.id, file.id])
    expect((await client.files.list({ purpose: 'batch_output' })).data).toEqual([])
    expect((await client.files.list({ order: 'asc' })).data.map(({ id }) => id)).toEqual([file.id, other.id])
    expect(await client.files.delete(file.id)).toEqual({ id: file.id, object: 'file', deleted: true })
    await expect(client.files.retrieve(file.id)).rejects.toThrow(`404 there is no file "${file.id}"`)
    expect(await namesIn(folder)).toEqual([`${other.id}.json`, `${other.id}.jsonl`])
  })

  test('belongs to its key, and so does a batch; also after a restart with the keys in another order', async () => {
    const folder = await newFolder()
    const first = await serveBatches(llm, folder, { apiKeys: ['sk-first-of-two', 'sk-second-of-two'] })
    const [one, two] = [first.clientOf('sk-first-of-two'), first.clientOf('sk-second-of-two')]
    const batch = await untilEnded(one, (await startBatch(one, [completionLine('a')])).id)
    const check = async (own: OpenAI, other: OpenAI) => {
      expect((await own.files.list()).data).toHaveLength(2)
      expect((await other.files.list()).data).toEqual([])
      expect((await other.batches.list()).data).toEqual([])
      const ask = [
        other.batches.retrieve(batch.id),
        other.batches.cancel(batch.id),
        other.files.retrieve(batch.input_file_id),
        other.files.content(batch.output_file_id!),
        other.files.delete(batch.input_file_id),
        other.batches.create({
          input_file_id: batch.input_file_id,
          endpoint: '/v1/completions',
          completion_window: '24h',
        }),
      ]
      for (const answer of ask) await expect(answer).rejects.toMatchObject({ status: 404 })
      expect((await answersOf(own, batch.output_file_id)).size).toBe(1)
    }
    await check(one, two)
    await expect(first.client.files.list()).rejects.toMatchObject({ status: 401 })
    await first.close()
    const second = await serveBatches(llm, folder, { apiKeys: ['sk-second-of-two', 'sk-first-of-two'] })
    await check(second.clientOf('sk-first-of-two'), second.clientOf('sk-second-of-two'))
    await second.close()
    const open = await serveBatches(llm, folder)
    expect((await open.client.files.list()).data).toEqual([])
    const text = await Promise.all((await namesIn(folder)).map((name) => readFile(join(folder, 'files', name), 'utf8')))
    expect(text.join()).not.toContain('sk-first')
  })

  test('is not deleted while a batch reads it', async () => {
    const { client } = await serveBatches(llm, await newFolder(), { batchMaxConcurrency: 1 })
    const lines = Array.from({ length: 20 }, (_, i) => completionLine(`${i}`, { max_tokens: 100, ignore_eos: true }))
    const { id, input_file_id: input } = await startBatch(client, lines)
    await expect(client.files.delete(input)).rejects.toThrow(`400 the file is the input of ${id}`)
    await client.batches.cancel(id)
    const { output_file_id: output, error_file_id: errors } = await untilEnded(client, id)
    await client.files.delete(input)
    await expect(
      client.batches.create({
        input_file_id: (errors ?? output)!,
        endpoint: '/v1/completions',
        completion_window: '24h',
      }),
    ).rejects.toThrow('the file holds answers')
  })
})

describe('hostile', () => {
  test('names are no paths', async () => {
    const folder = await newFolder()
    await writeFile(join(folder, 'secret.json'), '{"secret": 1}')
    const { url } = await serveBatches(llm, folder)
    for (const name of [
      '../secret',
      '..%2fsecret',
      '..%2Fsecret%00',
      '%2e%2e%2fsecret',
      'file-',
      'file-..%2f..%2fsecret',
      `file-${'0'.repeat(32)}`,
      '__proto__',
      'constructor',
      'lock',
      'a'.repeat(8000),
    ])
      for (const path of [`files/${name}`, `files/${name}/content`, `batches/${name}`]) {
        const response = await fetch(`${url}/v1/${path}`)
        expect(response.status, path).toBe(404)
        expect(await response.text()).not.toContain('"secret"')
      }
  })

  test.each<[string, (form: FormData) => void, string]>([
    ['no file', (form) => form.delete('file'), 'file: is required'],
    ['no purpose', (form) => form.delete('purpose'), 'purpose: is required'],
    ['another purpose', (form) => form.set('purpose', 'fine-tune'), 'purpose: must be \\"batch\\"'],
    ['a long purpose', (form) => form.set('purpose', 'x'.repeat(5000)), 'purpose: is longer than 1024'],
    ['two files', (form) => form.append('file', new File(['b'], 'b')), 'file: is given twice'],
    ['another field', (form) => form.set('folder', '/etc'), 'folder: there is no such parameter'],
    ['half an expiry', (form) => form.set('expires_after[seconds]', '3600'), 'expires_after.anchor'],
    ['many fields', (form) => Array.from({ length: 20 }, (_, i) => form.set(`f${i}`, '')), 'more than 16'],
  ])('a form with %s leaves nothing behind', async (_, change, message) => {
    const folder = await newFolder()
    const { url } = await serveBatches(llm, folder)
    const form = new FormData()
    form.set('purpose', 'batch')
    form.set('file', new File(['{}'], 'a.jsonl'))
    change(form)
    const response = await fetch(`${url}/v1/files`, { method: 'POST', body: form })
    expect({ status: response.status, text: await response.text() }).toMatchObject({
      status: 400,
      text: expect.stringContaining(message),
    })
    expect(await namesIn(folder)).toEqual([])
  })

  test('a web page may not send files, unless it is one of ours', async () => {
    const folder = await newFolder()
    const { url } = await serveBatches(llm, folder, { corsOrigins: ['https://example.org'] })
    const send = async (origin: string): Promise<number> => {
      const form = new FormData()
      form.set('purpose', 'batch')
      form.set('file', new File(['{}'], 'a.jsonl'))
      return (await fetch(`${url}/v1/files`, { method: 'POST', body: form, headers: { origin } })).status
    }
    expect(await send('https://evil.example')).toBe(403)
    expect(await send('null')).toBe(403)
    expect(await namesIn(folder)).toEqual([])
    expect(await send('https://example.org')).toBe(200)
    expect(await send(url)).toBe(200)
  })

  test('a client that goes in the middle leaves nothing behind', async () => {
    const folder = await newFolder()
    const { url } = await serveBatches(llm, folder)
    const outgoing = request(`${url}/v1/files`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    })
    outgoing.on('error', () => {})
    outgoing.write(`--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n${'x'.repeat(100_000)}`)
    await expect.poll(() => namesIn(folder)).toEqual([expect.stringMatching(/\.upload$/)])
    outgoing.destroy()
    await expect.poll(() => namesIn(folder)).toEqual([])
  })
})

describe('bounds', () => {
  test('of one file, declared or not', async () => {
    const folder = await newFolder()
    const { client, url } = await serveBatches(llm, folder, { batchFileBytes: '100KB' })
    const send = async (length: number) =>
      client.files.create({ purpose: 'batch', file: await toFile(bytesOf(length), 'a') })
    await send(100_000)
    await expect(send(100_001)).rejects.toThrow('413 the file is longer than 100000 bytes')
    await expect(send(1_000_000)).rejects.toThrow('413')
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
      for (let i = 0; i < 1000; i++) yield bytesOf(10_000)
    }
    const sent = fetch(`${url}/v1/files`, {
      method: 'POST',
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      body: ReadableStream.from(endless()) as ReadableStream,
      duplex: 'half',
    } as RequestInit)
    // a client that goes on sending may find the connection gone before it reads why
    expect(await sent.then(({ status }) => status).catch(() => 413)).toBe(413)
    await expect.poll(async () => (await namesIn(folder)).length).toBe(2)
  })

  test('of all files: uploads are refused, answers end their batch, deleting makes room', async () => {
    const { client } = await serveBatches(llm, await newFolder(), { batchDiskBytes: 80_000 })
    const { id } = await client.files.create({ purpose: 'batch', file: await toFile(bytesOf(50_000), 'a') })
    const more = async () => client.files.create({ purpose: 'batch', file: await toFile(bytesOf(50_000), 'b') })
    await expect(more()).rejects.toThrow('413 the server may keep 80000 bytes')
    const lines = Array.from({ length: 30 }, (_, i) => completionLine(`${i}`, { max_tokens: 50, logprobs: 5, n: 2 }))
    const batch = await untilEnded(client, (await startBatch(client, lines)).id)
    expect(batch).toMatchObject({ status: 'failed', errors: { data: [{ code: 'storage_full', line: null }] } })
    // what was answered is there
    const answers = await answersOf(client, batch.output_file_id)
    expect(answers.size).toBe(batch.request_counts!.completed)
    await client.files.delete(id)
    if (batch.output_file_id) await client.files.delete(batch.output_file_id)
    await more()
  })

  test('of open batches of one key', async () => {
    const { client } = await serveBatches(llm, await newFolder(), { batchMaxConcurrency: 1 })
    const lines = Array.from({ length: 50 }, (_, i) => completionLine(`${i}`, { max_tokens: 300, ignore_eos: true }))
    const { id } = await upload(client, lines)
    const make = () =>
      client.batches.create({ input_file_id: id, endpoint: '/v1/completions', completion_window: '24h' })
    await Promise.all(Array.from({ length: 100 }, make))
    await expect(make()).rejects.toThrow('429 100 batches are under way')
  })
})

describe('a folder', () => {
  test('is for one server', async () => {
    const folder = await newFolder()
    const { close } = await serveBatches(llm, folder)
    await expect(serveBatches(llm, folder)).rejects.toThrow('belongs to another server')
    await close()
    await (await serveBatches(llm, folder)).close()
    // a process that is gone, or one that had our number before us
    for (const holder of [
      { pid: 2 ** 22 + 1, startedAt: Date.now() },
      { pid: process.pid, startedAt: 5 },
    ]) {
      await writeFile(join(folder, 'lock'), JSON.stringify(holder))
      await (await serveBatches(llm, folder)).close()
    }
  })

  test('is let go where the server cannot listen', async () => {
    const folder = await newFolder()
    const { server } = await serveBatches(llm, await newFolder())
    await expect(serveBatches(llm, folder, { port: server.port })).rejects.toThrow('is in use')
    await serveBatches(llm, folder)
  })

  test('that an earlier server left in the middle of something is put in order', async () => {
    const folder = await newFolder()
    await mkdir(join(folder, 'files'), { recursive: true })
    const id = `file-${'a'.repeat(32)}`
    for (const name of [`${id}.upload`, `${id}.jsonl`, `${id}.json.tmp`])
      await writeFile(join(folder, 'files', name), '{')
    const { close } = await serveBatches(llm, folder)
    expect(await namesIn(folder)).toEqual([])
    await close()
    await writeFile(join(folder, 'files', `${id}.json`), '{"mine": true}')
    await expect(serveBatches(llm, folder)).rejects.toThrow('is no record of ours; move it away')
  })

  test('has the bytes that it is said to have, whatever became of files and batches', async () => {
    const folder = await newFolder()
    const options = { servedModelNames: [modelName], batchDirectory: folder, batchFileBytes: '50KB' }
    const context = createContext(llm, { ...options, batchDiskBytes: 150_000 })
    const app = appOf(context)
    const ask = async (input: string | URL | Request, init?: RequestInit) => app.request(input as string, init)
    const client = new OpenAI({ baseURL: 'http://localhost/v1', apiKey: 'none', maxRetries: 0, fetch: ask })
    const send = async (length: number) =>
      client.files.create({ purpose: 'batch', file: await toFile(bytesOf(length), 'a') })
    const line = (i: number) => completionLine(`${i}`, { max_tokens: 20, ...(i % 5 === 0 && { temperature: 7 }) })
    const lines = (n: number) => Array.from({ length: n }, (_, i) => line(i))
    const { id } = await send(30_000)
    await expect(send(60_000)).rejects.toThrow('413')
    const done = await untilEnded(client, (await startBatch(client, lines(20))).id)
    const cut = await startBatch(client, lines(100))
    await expect
      .poll(async () => (await client.batches.retrieve(cut.id)).request_counts!.completed, { timeout: 30_000 })
      .toBeGreaterThan(0)
    await client.batches.cancel(cut.id)
    await untilEnded(client, cut.id)
    await client.files.delete(id)
    await client.files.delete(done.error_file_id!)
    const rest = await startBatch(client, lines(100))
    await expect
      .poll(async () => (await client.batches.retrieve(rest.id)).request_counts!.completed, { timeout: 30_000 })
      .toBeGreaterThan(0)
    const { store } = context.batches!
    await context.batches!.close()
    expect(new BatchStore(folder, 1e6).usedBytes).toBe(store.usedBytes)
  })

  test('forgets what is older than it may get', async () => {
    const folder = await newFolder()
    const { client, close } = await serveBatches(llm, folder)
    const { id } = await untilEnded(client, (await startBatch(client, [completionLine('a')])).id)
    const fresh = await upload(client, [completionLine('b')])
    await close()
    // as if it had all been long ago
    const long = 40 * 86_400
    for (const kind of ['files', 'batches'])
      for (const name of await readdir(join(folder, kind))) {
        if (!name.endsWith('.json') || name.includes(fresh.id)) continue
        const path = join(folder, kind, name)
        const record = JSON.parse(await readFile(path, 'utf8')) as { api: { expires_at: number } }
        record.api.expires_at -= long
        await writeFile(path, JSON.stringify(record))
      }
    const next = await serveBatches(llm, folder)
    await expect.poll(async () => (await next.client.files.list()).data).toEqual([fresh])
    await expect.poll(() => namesIn(folder)).toHaveLength(2)
    await expect(next.client.batches.retrieve(id)).rejects.toMatchObject({ status: 404 })
  })

  test('that is none is one error with the name of its setting', async () => {
    const app = createApp(llm, { servedModelNames: [modelName] })
    for (const [method, path] of [
      ['GET', '/v1/files'],
      ['POST', '/v1/files'],
      ['GET', '/v1/files/file-1'],
      ['DELETE', '/v1/files/file-1'],
      ['GET', '/v1/files/file-1/content'],
      ['GET', '/v1/batches'],
      ['POST', '/v1/batches'],
      ['GET', '/v1/batches/batch_1'],
      ['POST', '/v1/batches/batch_1/cancel'],
    ] as const) {
      const response = await app.request(path, { method })
      expect(response.status, path).toBe(403)
      expect(await response.json()).toMatchObject({
        error: { code: 'batches_disabled', message: expect.stringContaining('--batch-directory') },
      })
    }
    expect((await app.request('/v1/files', { method: 'PUT' })).headers.get('allow')).toBe('GET, HEAD, POST')
  })
})
