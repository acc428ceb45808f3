import { LLM, type EngineStats, type LLMOptions } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { cpuAvailable } from '@slipway/tensor'
import type { Hono } from 'hono'
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, expect, vi } from 'vitest'
import { createApp } from '../app.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { ServerOptions } from '../options.ts'
import { serve } from '../serve.ts'

export const modelName = 'mini'

/** How many times as long as with native kernels a test may wait for what the model computes. */
export const slowness = cpuAvailable().available ? 1 : 6

/** Starts the embedded model with small blocks, so that sequences take several. */
export function startModel(options: LLMOptions = {}): LLM {
  return LLM.start(miniModelDirectory, { maxModelLen: 512, blockSize: 16, maxNumSeqs: 16, ...options })
}

/** The embedded model for the tests of a file or a suite; after each of them nothing may run any more. */
export function useModel(options: LLMOptions = {}): LLM {
  const llm = startModel(options)
  beforeAll(() => llm.ready)
  afterEach(async () => void (await expectIdle(llm)))
  afterAll(() => llm.close())
  return llm
}

/** An app with two names for the model, in which nothing may go wrong inside. */
export function useApp(llm: LLM, options: ServerOptions = {}): Hono<ServerEnv> {
  const onInternalError = vi.fn()
  afterEach(() => expect(onInternalError).not.toHaveBeenCalled())
  return createApp(llm, { servedModelNames: [modelName, 'org/alias'], onInternalError, ...options })
}

/** The official client of a server for the tests of a file or a suite. */
export function useClient(llm: LLM, options: ServerOptions = {}): OpenAI {
  const client = new OpenAI({ apiKey: 'none', maxRetries: 0 })
  let served: Awaited<ReturnType<typeof serveClient>>
  beforeAll(async () => {
    served = await serveClient(llm, options)
    // the port is known only now
    client.baseURL = served.client.baseURL
  })
  afterAll(async () => void (await served.close()))
  return client
}

/** A server for a model that is there, for the official client. */
export async function serveClient(
  llm: LLM,
  options: ServerOptions,
): Promise<{ client: OpenAI; close: () => Promise<unknown> }> {
  const server = await serve(llm, { port: 0, servedModelNames: [modelName], ...options })
  return {
    client: new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none', maxRetries: 0 }),
    close: () => server.close(),
  }
}

/** Waits until nothing runs any more, then checks that no block is lost (contract 4). */
export async function expectIdle(llm: LLM): Promise<EngineStats> {
  const started = performance.now()
  for (;;) {
    const stats = await llm.stats()
    const { running, waiting, freeBlocks, cachedBlocks, ownedBlocks, totalBlocks } = stats
    expect(freeBlocks + cachedBlocks + ownedBlocks).toBe(totalBlocks)
    if (running + waiting === 0) {
      expect(ownedBlocks).toBe(0)
      return stats
    }
    expect(performance.now() - started, 'the engine goes on with requests that ended').toBeLessThan(5000)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Waits until the engine works on that many sequences. */
export async function untilBusy(llm: LLM, running = 1): Promise<void> {
  while ((await llm.stats()).running < running) await new Promise((resolve) => setTimeout(resolve, 2))
}

/** Posts JSON to an app without a socket. */
export function post(app: Hono<ServerEnv>, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return Promise.resolve(app.request(path, { method: 'POST', headers, body: text, ...init }))
}

export async function jsonOf<T>(response: Response | Promise<Response>): Promise<T> {
  return (await (await response).json()) as T
}

/** The data of an event stream, `[DONE]` as text. */
export function eventsOf(text: string): unknown[] {
  expect(text.endsWith('\n\n')).toBe(true)
  return text
    .trimEnd()
    .split('\n\n')
    .filter((block) => !block.startsWith(':'))
    .map((block) => {
      expect(block).toMatch(/^data: [^\n]*$/)
      const data = block.slice('data: '.length)
      return data === '[DONE]' ? data : (JSON.parse(data) as unknown)
    })
}
