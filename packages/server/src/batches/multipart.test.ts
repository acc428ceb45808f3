import { expect, test } from 'vitest'
import { boundaryOf, multipart, textOf } from './multipart.ts'

/** A form as Node's own `fetch` would send it. */
async function formOf(fields: readonly (readonly [string, string | File])[]) {
  const form = new FormData()
  for (const [name, value] of fields) {
    if (typeof value === 'string') form.append(name, value)
    else form.append(name, value, value.name)
  }
  const request = new Request('http://localhost', { method: 'POST', body: form })
  return {
    boundary: boundaryOf(request.headers.get('content-type')),
    bytes: new Uint8Array(await request.arrayBuffer()),
  }
}

async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(chunks: AsyncIterable<Uint8Array>, boundary: string) {
  const parts: { name: string; filename: string | undefined; bytes: Buffer }[] = []
  for await (const { name, filename, body } of multipart(chunks, boundary)) {
    const pieces: Buffer[] = []
    for await (const piece of body) pieces.push(Buffer.from(piece))
    parts.push({ name, filename, bytes: Buffer.concat(pieces) })
  }
  return parts
}

test('what Node encodes comes out, however it is cut', async () => {
  const binary = Uint8Array.from({ length: 700 }, (_, i) => (i * 89) % 256)
  const tricky = '\r\n--\r\n----formdata\r\n\r\n--'
  const { boundary, bytes } = await formOf([
    ['purpose', 'batch'],
    ['file', new File([binary, tricky], 'a "quoted"; name=purpose\r\n.jsonl')],
    ['empty', new File([], 'übung.jsonl')],
    ['text', tricky],
  ])
  const whole = await read(inPieces(bytes, bytes.length), boundary)
  expect(whole.map(({ name, filename }) => [name, filename])).toEqual([
    ['purpose', undefined],
    ['file', 'a "quoted"; name=purpose\r\n.jsonl'],
    ['empty', 'übung.jsonl'],
    ['text', undefined],
  ])
  expect(whole[0]!.bytes.toString()).toBe('batch')
  expect(whole[1]!.bytes.equals(Buffer.concat([binary, Buffer.from(tricky)]))).toBe(true)
  expect(whole[2]!.bytes).toHaveLength(0)
  for (const size of [1, 2, 3, 5, 7, 16, 61, 62, 63, 64, 255])
    expect(await read(inPieces(bytes, size), boundary)).toEqual(whole)
})

test('what is cut off anywhere is an error, and what is not read is skipped', async () => {
  const { boundary, bytes } = await formOf([
    ['purpose', 'batch'],
    ['file', new File(['x'.repeat(50)], 'a')],
  ])
  // the last line end may be missing
  for (let length = 0; length < bytes.length - 2; length++)
    await expect(read(inPieces(bytes.subarray(0, length), 40), boundary), `${length}`).rejects.toThrow('ends before')
  const names: string[] = []
  for await (const { name } of multipart(inPieces(bytes, 9), boundary)) names.push(name)
  expect(names).toEqual(['purpose', 'file'])
})

const form = (head: string, body = 'x') => `--b\r\n${head}\r\n\r\n${body}\r\n--b--\r\n`

test.each([
  [
    'text before the first boundary',
    `hello${form('Content-Disposition: form-data; name="a"')}`,
    'something stands before',
  ],
  ['a head without end', `--b\r\nX: ${'y'.repeat(10_000)}`, 'longer than 8192 bytes'],
  ['no disposition', form('Content-Type: text/plain'), 'no Content-Disposition'],
  ['another disposition', form('Content-Disposition: attachment; name="a"'), 'no Content-Disposition'],
  ['no name', form('Content-Disposition: form-data; filename="a"'), 'has no name'],
  ['a quote without end', form('Content-Disposition: form-data; name="a'), 'cannot be read'],
  ['something behind a boundary', '--bXX\r\n', 'followed by something else'],
  [
    'fields without end',
    `${'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'.repeat(20)}--b--`,
    'more than 16',
  ],
])('%s is refused', async (_, text, message) => {
  await expect(read(inPieces(Buffer.from(text), 1000), 'b')).rejects.toThrow(message)
})

test('a field of text is bounded', async () => {
  const text = form('Content-Disposition: form-data; name="purpose"', 'y'.repeat(2000))
  const texts = async () => {
    for await (const part of multipart(inPieces(Buffer.from(text), 100), 'b')) await textOf(part)
  }
  await expect(texts()).rejects.toThrow('purpose: is longer than 1024 bytes')
})

test.each([
  [null],
  ['application/json'],
  ['multipart/form-data'],
  ['multipart/form-data; boundary='],
  [`multipart/form-data; boundary=${'b'.repeat(71)}`],
  ['multipart/mixed; boundary=b'],
])('the content type %s is refused', (type) => {
  expect(() => boundaryOf(type)).toThrow('send multipart/form-data')
})

test('a boundary may be quoted and stand among others', () => {
  expect(boundaryOf('multipart/form-data; charset=utf-8; boundary="a b"')).toBe('a b')
  expect(boundaryOf('Multipart/Form-Data;boundary=x; charset=utf-8')).toBe('x')
})
