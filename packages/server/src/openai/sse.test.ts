import { afterEach, describe, expect, test, vi } from 'vitest'
import type { ApiErrorBody } from '../http/error-schema.ts'
import { sseResponse } from './sse.ts'

afterEach(() => vi.useRealTimers())

const brokenBody: ApiErrorBody = { error: { message: 'broken', type: 'server_error', param: null, code: null } }

function respond(chunks: AsyncIterable<unknown>, heartbeatSeconds = 15) {
  const onEnd = vi.fn()
  const response = sseResponse(chunks, { heartbeatSeconds, onEnd, toError: () => brokenBody })
  return { response, onEnd, reader: response.body!.getReader() }
}

async function next(reader: { read(): Promise<{ value?: Uint8Array | undefined }> }): Promise<string> {
  return new TextDecoder().decode((await reader.read()).value)
}

describe('sseResponse', () => {
  test('one event for each chunk, then [DONE]', async () => {
    const onEnd = vi.fn()
    const chunks = (async function* () {
      yield { text: 'two\nlines' }
      yield { text: 'é' }
    })()
    const response = sseResponse(chunks, { heartbeatSeconds: 15, onEnd, toError: () => brokenBody })
    expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8')
    expect(response.headers.get('cache-control')).toBe('no-cache')
    expect(await response.text()).toBe('data: {"text":"two\\nlines"}\n\ndata: {"text":"é"}\n\ndata: [DONE]\n\n')
    expect(onEnd).toHaveBeenCalledTimes(1)
  })

  test('typed events are named, with a ping of their own and without [DONE]', async () => {
    vi.useFakeTimers()
    let go = (): void => {}
    const chunks = (async function* () {
      await new Promise<void>((resolve) => (go = resolve))
      yield { type: 'begin', n: 1 }
      throw new Error('broken')
    })()
    const toError = () => ({ type: 'error' })
    const options = { heartbeatSeconds: 1, onEnd: vi.fn(), toError, isTyped: true, ping: { type: 'ping' } }
    const reader = sseResponse(chunks, options).body!.getReader()
    const first = next(reader)
    await vi.advanceTimersByTimeAsync(1000)
    expect(await first).toBe('event: ping\ndata: {"type":"ping"}\n\n')
    go()
    expect(await next(reader)).toBe('event: begin\ndata: {"type":"begin","n":1}\n\n')
    expect(await next(reader)).toBe('event: error\ndata: {"type":"error"}\n\n')
    expect((await reader.read()).done).toBe(true)
  })

  test('a chunk is made only when the reader asks', async () => {
    let made = 0
    const { reader } = respond(
      (async function* () {
        for (;;) yield made++
      })(),
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(made).toBe(0)
    await next(reader)
    await next(reader)
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(made).toBe(2)
  })

  test('a quiet stream pings and loses nothing', async () => {
    vi.useFakeTimers()
    let release!: (text: string) => void
    const { reader } = respond(
      (async function* () {
        yield await new Promise<string>((resolve) => (release = resolve))
      })(),
    )
    for (let i = 0; i < 3; i++) {
      const text = next(reader)
      await vi.advanceTimersByTimeAsync(14_999)
      await vi.advanceTimersByTimeAsync(1)
      expect(await text).toBe(': ping\n\n')
    }
    const text = next(reader)
    release('late')
    expect(await text).toBe('data: "late"\n\n')
    expect(await next(reader)).toBe('data: [DONE]\n\n')
    expect(vi.getTimerCount()).toBe(0)
  })

  test('an error in the middle is an event, and the end', async () => {
    const { reader, onEnd } = respond(
      (async function* () {
        yield 1
        throw new Error('secret')
      })(),
    )
    expect(await next(reader)).toBe('data: 1\n\n')
    expect(await next(reader)).toBe(`data: ${JSON.stringify(brokenBody)}\n\n`)
    expect((await reader.read()).done).toBe(true)
    expect(onEnd).toHaveBeenCalledTimes(1)
  })

  test('a reader that goes ends the source, even one that has not begun', async () => {
    const { reader, onEnd } = respond(
      (async function* () {
        yield 1
      })(),
    )
    await reader.cancel()
    expect(onEnd).toHaveBeenCalledTimes(1)
  })

  test('a reader that goes while it waits hears no more', async () => {
    let fail!: (error: Error) => void
    const toError = vi.fn(() => brokenBody)
    const onEnd = vi.fn(() => fail(new Error('aborted')))
    const chunks = (async function* () {
      yield await new Promise((_, reject) => (fail = reject))
    })()
    const reader = sseResponse(chunks, { heartbeatSeconds: 15, onEnd, toError }).body!.getReader()
    const waiting = reader.read()
    await new Promise((resolve) => setTimeout(resolve, 5))
    await reader.cancel()
    expect((await waiting).done).toBe(true)
    await new Promise((resolve) => setTimeout(resolve, 5))
    expect(onEnd).toHaveBeenCalledTimes(1)
    expect(toError).not.toHaveBeenCalled()
  })
})
