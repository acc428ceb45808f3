import { describe, expect, test } from 'vitest'
import { parseJson, readJson, type BodySource } from './json-body.ts'

const url = 'http://localhost/'

function request(
  body: string | ReadableStream<Uint8Array>,
  headers: Record<string, string> = { 'content-type': 'application/json' },
): BodySource {
  return {
    req: { raw: new Request(url, { method: 'POST', body, headers, ...({ duplex: 'half' } as object) }) },
    env: {},
  }
}

function streamOf(...chunks: (string | Error)[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull(controller) {
      const chunk = chunks.shift()
      if (chunk === undefined) controller.close()
      else if (chunk instanceof Error) controller.error(chunk)
      else controller.enqueue(new TextEncoder().encode(chunk))
    },
  })
}

describe('readJson', () => {
  test('reads a body in pieces', async () => {
    expect(await readJson(request(streamOf('{"a":', '"é"', '}')), 100)).toEqual({ a: 'é' })
    const charset = { 'content-type': 'application/json; charset=UTF-8', 'content-encoding': 'identity' }
    expect(await readJson(request('[1]', charset), 100)).toEqual([1])
  })

  test('a body without a declared length is bounded while it is read', async () => {
    let pulls = 0
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulls++
        controller.enqueue(new Uint8Array(1000).fill(32))
      },
    })
    await expect(readJson(request(endless), 10_000)).rejects.toMatchObject({ details: { status: 413 } })
    expect(pulls).toBeLessThan(20)
  })

  test('a declared length is refused before reading', async () => {
    const declared = { 'content-type': 'application/json', 'content-length': '5000000' }
    const unread = new ReadableStream<Uint8Array>({ pull: () => expect.unreachable() }, { highWaterMark: 0 })
    await expect(readJson(request(unread, declared), 10_000)).rejects.toMatchObject({ details: { status: 413 } })
  })

  test('a body that breaks off is the fault of the client', async () => {
    const cut = request(streamOf('{"a"', new Error('reset')))
    await expect(readJson(cut, 100)).rejects.toMatchObject({ kind: 'request', message: 'the body ended too early' })
  })

  test.each([
    [{}, 'the content type is ""'],
    [{ 'content-type': 'text/plain' }, 'the content type is "text/plain"; send application/json'],
    [{ 'content-type': 'application/json; charset=latin1' }, 'in UTF-8'],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, 'send application/json'],
    [{ 'content-type': 'application/json', 'content-encoding': 'gzip' }, 'the content encoding "gzip"'],
  ])('refuses the headers %j', async (headers, message) => {
    const raw = new Request(url, { method: 'POST', body: new Uint8Array([123, 125]), headers })
    await expect(readJson({ req: { raw }, env: {} }, 100)).rejects.toThrow(message)
  })
})

describe('parseJson', () => {
  test('names the place of a fault', () => {
    expect(() => parseJson('{"a": 1,\n "b": x}')).toThrow(
      'the body is not valid JSON: unexpected "x" at position 15 (line 2, column 7)',
    )
    expect(() => parseJson('')).toThrow('it ends at position 0 (line 1, column 1)')
    expect(() => parseJson('[😀]')).toThrow('unexpected "😀" at position 1')
  })

  test('a key named __proto__ is an ordinary key', () => {
    const parsed = parseJson('{"__proto__": {"polluted": true}}') as Record<string, unknown>
    expect(Object.keys(parsed)).toEqual(['__proto__'])
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
  })
})
