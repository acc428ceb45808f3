import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { mkdir, truncate, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Device } from '../device.ts'
import { cpuFor, testableIsas } from '../test-harness.ts'
import { packedBytes, type Memory } from './native-loader.ts'
import { PackedCache } from './packed-cache.ts'
import type { StoredRows } from './stored-rows.ts'
import type { LoadOptions } from './weight-loader.ts'

const folder = mkdtempSync(join(tmpdir(), 'slipway-packed-'))
const source = join(folder, 'weights.bin')
// bf16 [4096, 2400], more than the least size that is kept
const [rows, cols] = [4096, 2400]
const open: { devices: Device[]; descriptors: number[] } = { devices: [], descriptors: [] }

beforeAll(async () => {
  let state = 1
  const values = Uint16Array.from({ length: rows * cols }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    // exponents of everyday weights
    return ((state >>> 31) << 15) | (0x3c00 + ((state >>> 8) & 0x3ff))
  })
  await writeFile(source, new Uint8Array(values.buffer))
})
afterEach(() => {
  vi.restoreAllMocks()
  open.devices.splice(0).forEach((device) => device.close())
  open.descriptors.splice(0).forEach((descriptor) => closeSync(descriptor))
})
afterAll(() => rmSync(folder, { recursive: true }))

let numCaches = 0
function newCache(maxBytes = 2 ** 30): PackedCache {
  return new PackedCache({ directory: join(folder, `cache-${numCaches++}`), maxBytes })
}

function warnings(): string[] {
  const all: string[] = []
  vi.spyOn(process, 'emitWarning').mockImplementation((text: string | Error) => void all.push(String(text)))
  return all
}

/** Loads the file as 8-bit integers and as floats; tells where the weights came from, and their bytes. */
async function load({ isa = isas[0]!, dtype = 'bf16' as 'bf16' | 'f16', ...options }: Settings = {}) {
  const { device } = cpuFor(isa, 2)
  const descriptor = openSync(source, 'r')
  open.devices.push(device)
  open.descriptors.push(descriptor)
  const part: StoredRows = { name: 'w', path: source, descriptor, offset: 0, rows, dtype: 'bf16' }
  let done = 0
  const loader = device.weightLoader((bytes) => (done += bytes))
  const floats = loader.floats([part], cols, dtype)
  const { words, scales } = loader.rounded([part], cols, { bits: 8, group: cols })
  const report = await loader.load(options)
  await report.cached
  expect(Math.round(done)).toBe(2 * 2 * rows * cols)
  const bytes = [floats, words, scales].map((tensor) => {
    const { buffer, byteOffset } = tensor.storage as Memory
    return Buffer.from(buffer, byteOffset, packedBytes(tensor))
  })
  return { fromCache: report.fromCache, bytes: Buffer.concat(bytes) }
}
type Settings = LoadOptions & { isa?: (typeof isas)[number]; dtype?: 'bf16' | 'f16' }

const isas = testableIsas()
const filesOf = (cache: PackedCache): string[] => readdirSync(cache.directory)

describe.skipIf(isas.length === 0)('packed weights on disk', () => {
  it('are read at the next start, by every instruction set', async () => {
    const cache = newCache()
    const cold = await load({ cache })
    expect(cold.fromCache).toBe(false)
    for (const isa of isas) {
      const warm = await load({ cache, isa })
      expect(warm.fromCache, isa).toBe(true)
      expect(Buffer.compare(warm.bytes, cold.bytes), isa).toBe(0)
    }
    const { files, bytes } = await cache.usage()
    expect(files).toBe(1)
    expect(bytes).toBeGreaterThan(cold.bytes.length)
    expect(bytes).toBeLessThan(cold.bytes.length + 2 ** 16)
  })

  it('are made anew for other options, another config, and files that changed', async () => {
    const cache = newCache()
    await load({ cache, identity: 'a' })
    expect((await load({ cache, identity: 'b' })).fromCache).toBe(false)
    expect((await load({ cache, identity: 'a', dtype: 'f16' })).fromCache).toBe(false)
    expect((await load({ cache, identity: 'a' })).fromCache).toBe(true)
    // the same bytes again, but who knows
    const { atime, mtime } = statSync(source)
    await writeFile(source, readFileSync(source))
    await utimes(source, atime, mtime)
    expect((await load({ cache, identity: 'a' })).fromCache).toBe(false)
  })

  const damages: [string, (path: string, size: number) => Promise<void>, RegExp][] = [
    ['cut short', (path, size) => truncate(path, size - 1), /it has \d+ bytes, \d+ are expected/],
    ['empty', (path) => truncate(path, 0), /it has 0 bytes/],
    ['flipped in the middle', (path, size) => flip(path, size >> 1), /it is damaged at byte \d+/],
    ['flipped at the end', (path, size) => flip(path, size - 1), /it is damaged at byte \d+/],
    ['flipped in its checksums', (path) => flip(path, 200), /its header is damaged/],
    ['of another version', (path) => flip(path, 8), /not a file of packed weights of this version/],
  ]
  async function flip(path: string, at: number): Promise<void> {
    const bytes = readFileSync(path)
    bytes[at]! ^= 4
    await writeFile(path, bytes)
  }

  it.each(damages)('a file that is %s is removed and made anew', async (_, damage, reason) => {
    const cache = newCache()
    const { bytes } = await load({ cache })
    const path = join(cache.directory, filesOf(cache)[0]!)
    const whole = readFileSync(path)
    await damage(path, whole.length)
    const told = warnings()
    const again = await load({ cache })
    expect(again.fromCache).toBe(false)
    expect(Buffer.compare(again.bytes, bytes)).toBe(0)
    expect(told).toHaveLength(1)
    expect(told[0]).toMatch(reason)
    expect(Buffer.compare(readFileSync(path), whole)).toBe(0)
    expect((await load({ cache })).fromCache).toBe(true)
  })

  it('loaders side by side do not disturb one another', async () => {
    const cache = newCache()
    const told = warnings()
    const all = await Promise.all(Array.from({ length: 4 }, () => load({ cache })))
    for (const { bytes } of all) expect(Buffer.compare(bytes, all[0]!.bytes)).toBe(0)
    expect(told).toEqual([])
    expect(filesOf(cache)).toHaveLength(1)
    expect((await load({ cache })).fromCache).toBe(true)
  })

  it('stay within the limit: what was used longest ago goes first', async () => {
    const size = (await load().then(({ bytes }) => bytes.length)) + 2 ** 16
    const cache = newCache(2 * size)
    await load({ cache, identity: 'a' })
    await load({ cache, identity: 'b' })
    const ages = (hours: number): Date => new Date(Date.now() - hours * 3_600_000)
    for (const name of filesOf(cache)) await utimes(join(cache.directory, name), ages(2), ages(2))
    // used now
    expect((await load({ cache, identity: 'a' })).fromCache).toBe(true)
    await load({ cache, identity: 'c' })
    expect(filesOf(cache)).toHaveLength(2)
    expect((await load({ cache, identity: 'a' })).fromCache).toBe(true)
    expect((await load({ cache, identity: 'b' })).fromCache).toBe(false)
  })

  it('removes what dead writers left, not what is being written', async () => {
    const cache = newCache()
    await mkdir(cache.directory)
    const [old, young] = ['x.packed.1-aa.tmp', 'x.packed.2-bb.tmp'].map((name) => join(cache.directory, name))
    await writeFile(old!, 'x')
    await writeFile(young!, 'x')
    await utimes(old!, new Date(0), new Date(0))
    await load({ cache })
    expect(filesOf(cache).filter((name) => name.endsWith('.tmp'))).toEqual(['x.packed.2-bb.tmp'])
  })

  it('a limit that is too small, or a folder that is none, is a warning', async () => {
    const told = warnings()
    expect((await load({ cache: newCache(1000) })).fromCache).toBe(false)
    const notFolder = new PackedCache({ directory: source, maxBytes: 2 ** 30 })
    expect((await load({ cache: notFolder })).fromCache).toBe(false)
    expect(told[0]).toMatch(/packed weights are not kept.*more than the limit of 1000; packedCache: false/)
    expect(told[1]).toMatch(/packed weights are not kept.*EEXIST|ENOTDIR/)
    expect(await notFolder.usage()).toEqual({ files: 0, bytes: 0 })
  })

  it('a disk that fills up is a warning and leaves nothing', async () => {
    const told = warnings()
    const cache = newCache()
    const { native } = await import('../native.ts').then(({ loadNative }) => loadNative())
    // memory whose bytes cannot be had stands for a write that fails half way
    const memory = { byteLength: 2 ** 22, byteOffset: 0, address: 1, buffer: new ArrayBuffer(2 ** 21) }
    await cache.write('0'.repeat(64), [memory], { native: native! })
    expect(told[0]).toMatch(/packed weights are not kept/)
    expect(filesOf(cache)).toEqual([])
  })
})
