import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LLM } from '@slipway/engine'
import OpenAI, { toFile } from 'openai'
import { expect, onTestFinished } from 'vitest'
import type { ServerOptions } from '../options.ts'
import { serve } from '../serve.ts'
import { modelName } from './harness.ts'

/** A folder that is gone after the test. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-batches-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A server that keeps batches in `folder`, and clients of it. */
export async function serveBatches(llm: LLM, folder: string, options: ServerOptions = {}) {
  const server = await serve(llm, { port: 0, servedModelNames: [modelName], batchDirectory: folder, ...options })
  onTestFinished(async () => {
    await server.close()
  })
  const clientOf = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${server.url}/v1`, apiKey, maxRetries: 0 })
  return { server, url: server.url, client: clientOf('none'), clientOf, close: () => server.close() }
}

export function completionLine(id: string, body: object = {}, line: object = {}): object {
  const whole = { model: modelName, prompt: `${id} is`, temperature: 0, max_tokens: 4, ...body }
  return { custom_id: id, method: 'POST', url: '/v1/completions', body: whole, ...line }
}

export function textOfLines(lines: readonly (object | string)[]): string {
  return lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')
}

export async function upload(client: OpenAI, lines: readonly (object | string)[]): Promise<OpenAI.FileObject> {
  return client.files.create({ purpose: 'batch', file: await toFile(Buffer.from(textOfLines(lines)), 'lines.jsonl') })
}

export async function startBatch(
  client: OpenAI,
  lines: readonly (object | string)[],
  endpoint: OpenAI.BatchCreateParams['endpoint'] = '/v1/completions',
  more: object = {},
): Promise<OpenAI.Batch> {
  const { id } = await upload(client, lines)
  return client.batches.create({ input_file_id: id, endpoint, completion_window: '24h', ...more })
}

/** The batch once it has come to an end. */
export async function untilEnded(client: OpenAI, id: string): Promise<OpenAI.Batch> {
  const started = performance.now()
  for (;;) {
    const batch = await client.batches.retrieve(id)
    const { status, request_counts: counts } = batch
    if (['completed', 'failed', 'expired', 'cancelled'].includes(status)) return batch
    expect(performance.now() - started, `${status} ${JSON.stringify(counts)}`).toBeLessThan(60_000)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export interface BatchAnswer {
  readonly id: string
  readonly custom_id: string
  readonly response: { readonly status_code: number; readonly request_id: string; readonly body: unknown } | null
  readonly error: { readonly code: string; readonly message: string } | null
}

/** The lines of a file of answers, by name; none comes twice. */
export async function answersOf(client: OpenAI, fileId: string | undefined | null): Promise<Map<string, BatchAnswer>> {
  if (fileId === undefined || fileId === null) return new Map()
  const text = await (await client.files.content(fileId)).text()
  const lines = text.split('\n')
  expect(lines.pop()).toBe('')
  const answers = lines.map((line) => JSON.parse(line) as BatchAnswer)
  const byName = new Map(answers.map((answer) => [answer.custom_id, answer]))
  expect(byName.size).toBe(answers.length)
  return byName
}
