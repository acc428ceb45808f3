import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Device } from '../device.ts'
import { cpuFor, testableIsas } from '../test-harness.ts'
import { panelColumns, type Memory } from './native-loader.ts'
import { PackedCache } from './packed-cache.ts'
import { chunkBytes } from './packed-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'slipway-late-'))
const source = join(folder, 'weights.bin')
// bf16: a table of more than the least size that is kept, whose panels end anywhere within chunks, and a matrix
const [rows, cols] = [4096, 2400]
const matrixRows = 500
const panelBytes = panelColumns * cols * 2
const cache = new PackedCache({ directory: join(folder, 'cache'), maxBytes: 2 ** 30 })
const isas = testableIsas()
const open: { devices: Device[]; descriptors: number[] } = { devices: [], descriptors: [] }
let whole: Buffer

beforeAll(async () => {
  const values = Uint16Array.from(
    { length: (rows + matrixRows) * cols },
    (_, i) => 0x3c00 + (Math.imul(i, 40503) & 0x3ff),
  )
  writeFileSync(source, new Uint8Array(values.buffer))
  if (isas.length === 0) return
  const cold = await load()
  await cold.report.cached
  whole = Buffer.from(cold.table)
})
afterEach(() => {
  vi.restoreAllMocks()
  open.devices.splice(0).forEach((device) => device.close())
  open.descriptors.splice(0).forEach((descriptor) => closeSync(descriptor))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function load(late = false) {
  const { device } = cpuFor(isas[0]!, 2)
  const descriptor = openSync(source, 'r')
  open.devices.push(device)
  open.descriptors.push(descriptor)
  const part = { path: source, descriptor, dtype: 'bf16' as const }
  let done = 0
  const loader = device.weightLoader((bytes) => (done += bytes))
  const table = loader.floats([{ ...part, name: 't', offset: 0, rows }], cols, 'bf16')
  const matrix = loader.floats([{ ...part, name: 'm', offset: rows * cols * 2, rows: matrixRows }], cols, 'bf16')
  loader.lookedUp(table)
  const report = await loader.load({ cache, late })
  expect(Math.round(done)).toBe(2 * (rows + matrixRows) * cols)
  const bytesOf = ({ buffer, byteOffset, byteLength }: Memory): Buffer => Buffer.from(buffer, byteOffset, byteLength)
  return {
    report,
    device,
    table: bytesOf(table.storage as Memory),
    matrix: bytesOf(matrix.storage as Memory),
  }
}

const panelOf = (table: Buffer, id: number): Buffer => {
  const start = Math.floor(id / panelColumns) * panelBytes
  return table.subarray(start, start + panelBytes)
}
const keptFile = (): string => join(cache.directory, readdirSync(cache.directory)[0]!)

describe.skipIf(isas.length === 0)('rows that come after the load', () => {
  it('are there when they are needed, and all of them after a while', async () => {
    const { report, table, matrix } = await load(true)
    expect(report.fromCache).toBe(true)
    const late = report.late!
    expect(late.isPending).toBe(true)
    expect(matrix.equals(Buffer.alloc(matrix.length))).toBe(false)
    expect(panelOf(table, 700).equals(Buffer.alloc(panelBytes))).toBe(true)
    const ids = Array.from({ length: 40 }, (_, i) => (i * 997) % rows)
    for (const id of ids) {
      late.need([id, rows - 1 - id])
      for (const row of [id, rows - 1 - id])
        expect(panelOf(table, row).equals(panelOf(whole, row)), `${row}`).toBe(true)
    }
    await late.complete
    expect(late.isPending).toBe(false)
    expect(table.equals(whole)).toBe(true)
  })

  it('come by themselves when nobody needs them', async () => {
    const { report, table } = await load(true)
    await report.late!.complete
    expect(table.equals(whole)).toBe(true)
  })

  it('are given up when the weights are released, or the device is closed', async () => {
    const told: string[] = []
    vi.spyOn(process, 'emitWarning').mockImplementation((text) => void told.push(String(text)))
    const { report } = await load(true)
    await report.release()
    await report.late!.complete
    expect(report.late!.isPending).toBe(false)
    const other = await load(true)
    other.device.close()
    await other.report.late!.complete
    expect(() => other.report.late!.need([700])).toThrow(/closed/)
    expect(told).toEqual([])
    expect((await load(true)).report.fromCache).toBe(true)
  })

  it('come from the checkpoint when the kept file turns out to be damaged', async () => {
    const path = keptFile()
    const sound = readFileSync(path)
    const damaged = Buffer.from(sound)
    // within a chunk that the table has for itself
    damaged[damaged.length - (matrixRows + 600) * cols * 2]! ^= 1
    writeFileSync(path, damaged)
    const told: string[] = []
    vi.spyOn(process, 'emitWarning').mockImplementation((text) => void told.push(String(text)))
    const { report, table } = await load(true)
    expect(report.fromCache).toBe(true)
    await report.late!.complete
    expect(table.equals(whole)).toBe(true)
    expect(told).toHaveLength(1)
    expect(told[0]).toMatch(/it is damaged at byte \d+/)
    // it is taken away meanwhile
    await vi.waitFor(() => expect(existsSync(path)).toBe(false))
    const again = await load(true)
    expect(again.report.fromCache).toBe(false)
    await again.report.cached
    expect(readFileSync(path).equals(sound)).toBe(true)
  })

  it('take a file that is cut short meanwhile as damaged', async () => {
    const path = keptFile()
    const sound = readFileSync(path)
    const { report, table } = await load(true)
    vi.spyOn(process, 'emitWarning').mockImplementation(() => {})
    writeFileSync(path, sound.subarray(0, 3 * chunkBytes))
    report.late!.need([rows - 600])
    expect(table.equals(whole)).toBe(true)
    await report.late!.complete
    await vi.waitFor(() => expect(existsSync(path)).toBe(false))
  })
})
