import { expect, test } from 'vitest'
import { readEvents } from './sse.ts'

/** The events of a body that comes in pieces of some size. */
async function events(text: string, size: number): Promise<string[]> {
  const bytes = new TextEncoder().encode(text)
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
      controller.close()
    },
  })
  return collect(readEvents(body))
}

async function collect(source: AsyncIterable<string>): Promise<string[]> {
  const all: string[] = []
  for await (const one of source) all.push(one)
  return all
}

const text = 'data: {"a":"ä€😀"}\n\n: ping\n\nevent: x\ndata:two\ndata: lines\n\r\ndata: crlf\r\n\r\ndata: [DONE]\n\n'

test.each([1, 2, 3, 5, 7, 64, 4096])('events in pieces of %i bytes', async (size) => {
  expect(await events(text, size)).toEqual(['{"a":"ä€😀"}', 'two\nlines', 'crlf', '[DONE]'])
})

test('what is not ended by an empty line is no event', async () => {
  expect(await events('data: one\n\ndata: half', 4)).toEqual(['one'])
})

test('a reader that leaves ends the stream', async () => {
  let isCancelled = false
  const body = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
    cancel: () => void (isCancelled = true),
  })
  for await (const data of readEvents(body)) {
    expect(data).toBe('x')
    break
  }
  expect(isCancelled).toBe(true)
})
