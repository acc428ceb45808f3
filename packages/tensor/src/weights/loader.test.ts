import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { bytesOfArray, type Device } from '../device.ts'
import { fromNumbers, toF32, type DType } from '../dtype.ts'
import { referenceDevice } from '../devices/reference.ts'
import { CaseRandom } from '../ops/random.ts'
import type { Tensor } from '../tensor.ts'
import { cpuFor, testableIsas } from '../test-harness.ts'
import { packedBytes, type Memory } from './native-loader.ts'
import { storedBytes, type StoredRows } from './stored-rows.ts'
import { DirectLoader, type Rounding, type WeightLoader } from './weight-loader.ts'

const floats = ['f32', 'bf16', 'f16'] as const
const folder = mkdtempSync(join(tmpdir(), 'slipway-weights-'))
const descriptors: number[] = []
const devices: Device[] = []
afterEach(() => devices.splice(0).forEach((device) => device.close()))
afterAll(() => {
  descriptors.forEach((descriptor) => closeSync(descriptor))
  rmSync(folder, { recursive: true })
})

/** Parts one after another in a file, each at an odd place. */
function store(parts: readonly { values: readonly number[]; dtype: DType; rows: number }[]): StoredRows[] {
  const path = join(folder, `${descriptors.length}.bin`)
  const pieces: Uint8Array[] = []
  let at = 0
  const places = parts.map(({ values, dtype, rows }, i) => {
    const bytes = bytesOfArray(fromNumbers(dtype, values))
    pieces.push(new Uint8Array(3), bytes)
    const offset = at + 3
    at = offset + bytes.length
    return { name: `part ${i}`, path, offset, rows, dtype }
  })
  writeFileSync(path, Buffer.concat(pieces))
  const descriptor = openSync(path, 'r')
  descriptors.push(descriptor)
  return places.map((place) => ({ ...place, descriptor }))
}

/** Everyday values with those that go wrong first: zeros of both signs, ties, huge, tiny and subnormal ones. */
function values(count: number, seed: number, dtype: DType): number[] {
  const random = new CaseRandom(seed)
  const odd = [0, -0, 1, -1, 0.5, -0.5, 3.5, 2.5, 5e-8, -6e-8, 1e-40, -1e-45, 65504, -65000, 3e-5, 1e-10]
  const normal = [...random.normal([1, count], 'f32', 0.3).data]
  // whole rows of tiny values make scales that are subnormal or zero
  const mixed = normal.map((x, i) => (i % 7 === 3 ? odd[i % odd.length]! : i % 640 < 64 ? x * 1e-6 : x))
  return [...toF32(dtype, fromNumbers(dtype, mixed))]
}

function bytesIn(tensor: Tensor): Uint8Array {
  const { buffer, byteOffset } = tensor.storage as Memory
  return new Uint8Array(buffer, byteOffset, packedBytes(tensor)).slice()
}

const isas = testableIsas()

describe.each(isas)('weights loaded by the kernels of %s have the bits that TypeScript gives them', (isa) => {
  async function expectEqual(ask: (loader: WeightLoader) => readonly Tensor[]): Promise<void> {
    const { device } = cpuFor(isa, 3)
    devices.push(device)
    const [native, direct] = [device.weightLoader(), new DirectLoader(device, () => {})]
    const [got, want] = [ask(native), ask(direct)]
    await native.load()
    for (const [i, tensor] of want.entries())
      expect(Buffer.compare(bytesIn(got[i]!), bytesIn(tensor)), `tensor ${i}`).toBe(0)
  }
  const layer = (cols: number, seed: number): StoredRows[] =>
    store(
      [33, 5, 31, 1].map((rows, i) => {
        const dtype = floats[(seed + i) % 3]!
        return { rows, dtype, values: values(rows * cols, seed + i, dtype) }
      }),
    )

  it.each(floats)('as %s, whatever they were', async (dtype) => {
    for (const cols of [1, 15, 64, 100]) await expectEqual((loader) => [loader.floats(layer(cols, cols), cols, dtype)])
  })

  it.each([4, 8] as const)('as integers of %i bits', async (bits) => {
    const shapes: [number, number][] = [
      [1, 32],
      [50, 32],
      [203, 128],
      [256, 128],
      [256, 64],
      [96, 96],
      [37, 37],
      [640, 640],
      [40, 8],
    ]
    for (const [cols, group] of shapes)
      for (const seed of [cols, cols + 1, cols + 2]) {
        const parts = layer(cols, seed)
        await expectEqual((loader) => {
          const { words, scales } = loader.rounded(parts, cols, { bits, group })
          return [words, scales]
        })
      }
  })

  it('NaN and infinity stay what they are in floats', async () => {
    const special = [NaN, Infinity, -Infinity, 1e38, -1e38, 65520, 1, 2]
    for (const from of floats)
      for (const to of floats)
        await expectEqual((loader) => [loader.floats(store([{ values: special, dtype: from, rows: 2 }]), 4, to)])
  })

  it.each([
    ['NaN', NaN],
    ['infinity', -Infinity],
    ['a value beyond the scales', 65520 * 8],
  ])('%s is refused in integers, with tensor and row', async (_, value) => {
    const rounding: Rounding = { bits: 4, group: 32 }
    const rows = Array.from({ length: 40 * 64 }, (__, i) => (i === 37 * 64 + 33 ? value : 1))
    const parts = store([
      { values: rows.slice(0, 64 * 9), dtype: 'f32', rows: 9 },
      { values: rows.slice(64 * 9), dtype: 'f32', rows: 31 },
    ])
    const { device } = cpuFor(isa, 2)
    devices.push(device)
    const native = device.weightLoader()
    native.rounded(parts, 64, rounding)
    const message = /tensor part 1 has in row 28 a value that is not finite or too large/
    await expect(native.load()).rejects.toThrow(message)
    expect(() => new DirectLoader(device, () => {}).rounded(parts, 64, rounding)).toThrow(message)
  })
})

describe.skipIf(isas.length === 0)('a file that fails', () => {
  it('is an error when it was cut short after it was opened', async () => {
    const [part] = store([{ values: values(64 * 64, 1, 'bf16'), dtype: 'bf16', rows: 64 }])
    truncateSync(part!.path, 5000)
    const { device } = cpuFor(isas[0]!, 2)
    devices.push(device)
    const loader = device.weightLoader()
    loader.floats([part!], 64, 'bf16')
    const message = `${part!.path}: the file is cut short: expected at least ${3 + storedBytes(part!, 64)} bytes, found 5000`
    await expect(loader.load()).rejects.toThrow(message)
    expect(() => new DirectLoader(device, () => {}).floats([part!], 64, 'bf16')).toThrow(message)
  })

  it('is an error when it cannot be read', async () => {
    const { device } = cpuFor(isas[0]!, 2)
    devices.push(device)
    const [part] = store([{ values: [1], dtype: 'f32', rows: 1 }])
    const loader = device.weightLoader()
    loader.floats([{ ...part!, descriptor: 9999 }], 1, 'f32')
    await expect(loader.load()).rejects.toThrow(/tensor part 0: it cannot be read: EBADF/)
  })
})

it.skipIf(isas.length === 0)('loading takes no more memory than 1.15 times what stays', () => {
  const path = join(folder, 'large.bin')
  const [rows, cols] = [8192, 4096]
  writeFileSync(path, new Uint8Array(2 * rows * cols).fill(0x3c))
  const script = `
    const { cpuDevice } = await import(process.argv[1])
    const { openSync } = await import('node:fs')
    const part = { name: 'w', path: process.argv[2], descriptor: openSync(process.argv[2]), offset: 0, rows: ${rows}, dtype: 'bf16' }
    const loader = cpuDevice({ threads: 2 }).weightLoader()
    const kept = [loader.floats([part], ${cols}, 'f16'), loader.rounded([part], ${cols}, { bits: 4, group: 128 })]
    const before = process.memoryUsage.rss()
    const { residentBytes } = await loader.load()
    const peak = process.resourceUsage().maxRSS * 1024 - before
    console.log(JSON.stringify({ residentBytes, peak, kept: kept.length }))`
  const index = new URL('../index.js', import.meta.url).href
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, index, path], {
    encoding: 'utf8',
  })
  expect(stderr).toBe('')
  const { residentBytes, peak } = JSON.parse(stdout) as { residentBytes: number; peak: number }
  expect(residentBytes).toBeGreaterThan(2.5 * rows * cols)
  expect(peak / residentBytes).toBeLessThan(1.15)
})

it('the direct loader gives a reference device what was stored', async () => {
  const parts = store([{ values: [1, 2, 3, 4], dtype: 'f16', rows: 2 }])
  const device = referenceDevice()
  let done = 0
  const loader = device.weightLoader((bytes) => (done += bytes))
  const tensor = loader.floats(parts, 2, 'f32')
  expect(await loader.load()).toMatchObject({ fromCache: false, residentBytes: 16 })
  expect([...(await device.read(tensor))]).toEqual([1, 2, 3, 4])
  expect(done).toBe(8)
})
