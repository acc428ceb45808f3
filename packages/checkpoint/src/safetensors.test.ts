import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { afterAll, describe, expect, test } from 'vitest'
import { parseHeader } from './safetensors-header.ts'
import { writeSafetensors } from './safetensors-writer.ts'
import { SafetensorsFile } from './safetensors.ts'

const directory = mkdtempSync(join(tmpdir(), 'slipway-safetensors-'))
afterAll(() => rmSync(directory, { recursive: true }))

/** A file with this header text and so many bytes of data. */
function build(header: string | Uint8Array, dataBytes: number, declared?: bigint): Uint8Array {
  const text = typeof header === 'string' ? Buffer.from(header) : header
  const file = Buffer.alloc(8 + text.byteLength + dataBytes)
  file.writeBigUInt64LE(declared ?? BigInt(text.byteLength))
  file.set(text, 8)
  for (let i = 0; i < dataBytes; i++) file[8 + text.byteLength + i] = i + 1
  return file
}

function tensor(dtype: string, shape: unknown, offsets: unknown): string {
  return JSON.stringify({ dtype, shape, data_offsets: offsets })
}

async function failure(promise: Promise<unknown>): Promise<SlipwayError> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!SlipwayError.is(error)) throw new Error(`expected a SlipwayError, got ${String(error)}`)
  return error
}

const four = tensor('F32', [1], [0, 4])
const broken: readonly [string, Uint8Array, string][] = [
  ['an empty file', new Uint8Array(0), 'cut short: expected at least 8 bytes, found 0'],
  ['seven bytes', new Uint8Array(7), 'expected at least 8 bytes, found 7'],
  ['a header longer than the file', build('{}', 0, 100n), 'expected at least 108 bytes, found 10'],
  ['a header over the limit', build('{}', 0, 100_000_001n), 'header length 100000001; the limit is 100000000'],
  ['a header of 2^64-1 bytes', build('{}', 0, 2n ** 64n - 1n), 'the limit is 100000000'],
  ['a Git LFS pointer', Buffer.from('version https://git-lfs.github.com/spec/v1\n'), 'run "git lfs pull"'],
  ['no JSON', build('{"a":', 0), 'at byte 8: the header is not valid UTF-8 JSON'],
  ['no UTF-8', build(Uint8Array.of(0x7b, 0xff, 0x7d), 0), 'not valid UTF-8 JSON'],
  ['a list', build('[]', 0), 'must be a JSON object, found []'],
  ['null', build('null', 0), 'must be a JSON object, found null'],
  ['a key twice', build(`{"a":${four},"a":${four}}`, 4), 'the key "a" appears twice'],
  ['an escaped key twice', build(`{"a":${four},"\\u0061":${four}}`, 4), 'the key "a" appears twice'],
  ['metadata that is a list', build('{"__metadata__":[]}', 0), '__metadata__ must be an object of strings'],
  ['metadata with a number', build('{"__metadata__":{"a":1}}', 0), '__metadata__ "a" must be a string, found 1'],
  ['a tensor that is a number', build('{"a":1}', 0), 'tensor "a" must be an object, found 1'],
  ['an unknown dtype', build(`{"a":${tensor('F33', [1], [0, 4])}}`, 4), 'tensor "a" has an unknown dtype "F33"'],
  ['no dtype', build('{"a":{"shape":[],"data_offsets":[0,4]}}', 4), 'tensor "a" has an unknown dtype undefined'],
  ['a negative size', build(`{"a":${tensor('F32', [-1], [0, 4])}}`, 4), 'has shape [-1]; expected non-negative'],
  ['half a size', build(`{"a":${tensor('F32', [0.5], [0, 2])}}`, 2), 'has shape [0.5]; expected non-negative'],
  ['a shape that is a text', build(`{"a":${tensor('F32', '1', [0, 4])}}`, 4), 'has shape "1"; expected non-negative'],
  ['a huge shape', build(`{"a":${tensor('F32', [2 ** 40, 2 ** 40], [0, 4])}}`, 4), 'too many elements'],
  ['one offset', build(`{"a":${tensor('F32', [1], [0])}}`, 4), 'data_offsets [0]; expected [begin, end]'],
  ['offsets the wrong way round', build(`{"a":${tensor('F32', [1], [4, 0])}}`, 4), 'data_offsets [4,0]'],
  ['a negative offset', build(`{"a":${tensor('F32', [1], [-4, 0])}}`, 4), 'data_offsets [-4,0]'],
  ['too few bytes', build(`{"a":${tensor('F32', [2], [0, 4])}}`, 4), 'of F32 [2] needs 8 bytes, but has 4'],
  ['half a byte', build(`{"a":${tensor('F4', [3], [0, 2])}}`, 2), 'of F4 [3] needs 1.5 bytes, but has 2'],
  [
    'an overlap',
    build(`{"a":${four},"b":${tensor('U8', [2], [3, 5])}}`, 5),
    'tensor "b" overlaps the tensor before it',
  ],
  ['a gap', build(`{"a":${four},"b":${tensor('U8', [1], [6, 7])}}`, 7), 'tensor "b" leaves a gap of 2 bytes'],
  ['a gap at the start', build(`{"a":${tensor('U8', [1], [1, 2])}}`, 2), 'tensor "a" leaves a gap of 1 bytes'],
  ['a file cut short', build(`{"a":${tensor('U8', [9], [0, 9])}}`, 5), 'expected 70 bytes, found 66'],
  ['bytes left over', build(`{"a":${four}}`, 6), '2 bytes after the last tensor belong to none'],
]

describe('a broken file is refused', () => {
  test.each(broken)('%s', async (name, bytes, message) => {
    const path = join(directory, `${name.replaceAll(/\W/g, '-')}.safetensors`)
    writeFileSync(path, bytes)
    const error = await failure(SafetensorsFile.open(path))
    expect(error.kind).toBe('checkpoint')
    expect(error.message).toContain(message)
    expect(error.message).toContain(path)
    expect(error.details['file']).toBe(path)
  })

  test('no file, and a directory', async () => {
    expect((await failure(SafetensorsFile.open(join(directory, 'none')))).message).toContain('cannot be opened: ENOENT')
    expect((await failure(SafetensorsFile.open(directory))).message).toContain('is not a file')
  })

  test('every file cut at any byte, and every header with a byte changed, opens or fails with our error', async () => {
    const whole = build(`{"__metadata__":{"k":"v"},"a":${four},"b":${tensor('U8', [2], [4, 6])}}`, 6)
    const path = join(directory, 'fuzz.safetensors')
    for (let i = 0; i < whole.byteLength; i++) {
      writeFileSync(path, whole.subarray(0, i))
      expect((await failure(SafetensorsFile.open(path))).kind).toBe('checkpoint')
      const changed = Uint8Array.from(whole)
      changed[i]! ^= 0x11
      writeFileSync(path, changed)
      const file = await SafetensorsFile.open(path).catch((error: unknown) => {
        expect(SlipwayError.is(error)).toBe(true)
        return undefined
      })
      file?.close()
    }
  })
})

describe('a good file', () => {
  test('what is written is read again', async () => {
    const path = join(directory, 'good.safetensors')
    const big = Uint8Array.from({ length: 24 }, (_, i) => i)
    await writeSafetensors(
      path,
      [
        { name: 'b', dtype: 'u8', shape: [3], bytes: Uint8Array.of(1, 2, 3) },
        { name: 'é"\n', dtype: 'bf16', shape: [], bytes: Uint8Array.of(4, 5) },
        { name: '1', dtype: 'f32', shape: [2, 3], bytes: big },
        { name: 'none', dtype: 'f32', shape: [0, 5], bytes: new Uint8Array(0) },
        { name: '__proto__', dtype: 'i8', shape: [1], bytes: Uint8Array.of(7) },
      ],
      { format: 'pt' },
    )
    const file = await SafetensorsFile.open(path)
    expect([...file.tensors.keys()]).toEqual(['1', 'none', 'é"\n', '__proto__', 'b'])
    expect({ ...file.metadata }).toEqual({ format: 'pt' })
    expect(file.path).toBe(path)
    expect(file.bytes('1')).toEqual(big)
    expect(file.bytes('none').byteLength).toBe(0)
    expect(file.bytes('é"\n')).toEqual(Uint8Array.of(4, 5))
    expect(file.bytes('__proto__')).toEqual(Uint8Array.of(7))
    const info = file.tensors.get('b')!
    expect(info).toMatchObject({ name: 'b', dtype: 'u8', shape: [3], byteLength: 3 })
    expect(readFileSync(path).subarray(info.offset)).toEqual(Buffer.of(1, 2, 3))
    expect(() => file.bytes('c')).toThrow('has no tensor "c"')
    file.close()
    file.close()
    expect(() => file.bytes('b')).toThrow('is closed')
    expect(readdirSync(directory).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  test('the bytes are those of the official library', async () => {
    const path = join(directory, 'official.safetensors')
    await writeSafetensors(path, [
      { name: 'w', dtype: 'f16', shape: [1], bytes: Uint8Array.of(0, 60) },
      { name: 'v', dtype: 'bf16', shape: [1], bytes: Uint8Array.of(128, 63) },
    ])
    // safetensors 0.8: serialize({"w": F16 [1], "v": BF16 [1]})
    const header =
      '{"v":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]},"w":{"dtype":"F16","shape":[1],"data_offsets":[2,4]}}'
    const bytes = readFileSync(path)
    expect(bytes.readBigUInt64LE()).toBe(BigInt(Math.ceil(header.length / 8) * 8))
    expect(bytes.subarray(8, -4).toString().trimEnd()).toBe(header)
    expect(bytes.byteLength % 8).toBe(4)
    expect([...bytes.subarray(-4)]).toEqual([128, 63, 0, 60])
  })

  test('a foreign dtype is an error only where it is read', async () => {
    const path = join(directory, 'foreign.safetensors')
    writeFileSync(path, build(`{"a":${four},"q":${tensor('F8_E4M3', [2], [4, 6])}}`, 6))
    const file = await SafetensorsFile.open(path)
    expect(file.bytes('a')).toEqual(Uint8Array.of(1, 2, 3, 4))
    expect(file.foreign.get('q')).toEqual({ name: 'q', storedDtype: 'F8_E4M3', shape: [2], byteLength: 2 })
    expect(() => file.bytes('q')).toThrow('tensor "q" has dtype F8_E4M3, which cannot be read')
    file.close()
  })

  test('an empty header is a file without tensors', () => {
    const { tensors } = parseHeader(Buffer.from('{}  '), 'x', 12)
    expect(tensors.size).toBe(0)
  })
})

describe('the writer refuses', () => {
  test.each([
    ['a wrong size', [{ name: 'a', dtype: 'f32', shape: [2], bytes: new Uint8Array(4) }], 'needs 8 bytes, got 4'],
    [
      'a name twice',
      [
        { name: 'a', dtype: 'u8', shape: [0], bytes: new Uint8Array(0) },
        { name: 'a', dtype: 'u8', shape: [0], bytes: new Uint8Array(0) },
      ],
      'tensor name "a" is taken',
    ],
    [
      'the name of the metadata',
      [{ name: '__metadata__', dtype: 'u8', shape: [0], bytes: new Uint8Array(0) }],
      'is taken',
    ],
  ] as const)('%s', async (_, tensors, message) => {
    const error = await failure(writeSafetensors(join(directory, 'refused.safetensors'), tensors))
    expect(error.message).toContain(message)
  })

  test('a directory that is not there, and leaves nothing behind', async () => {
    await expect(writeSafetensors(join(directory, 'no', 'x.safetensors'), [])).rejects.toThrow('ENOENT')
    const target = join(directory, 'taken')
    await expect(writeSafetensors(directory, [])).rejects.toThrow()
    expect(readdirSync(tmpdir()).filter((name) => name.endsWith(`${process.pid}.tmp`))).toEqual([])
    expect(target).toBeTruthy()
  })
})
