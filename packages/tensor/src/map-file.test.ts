import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest'
import { mapFile } from './map-file.ts'
import { loadNative } from './native.ts'

const folder = mkdtempSync(join(tmpdir(), 'slipway-map-'))
afterAll(() => rmSync(folder, { recursive: true }))
afterEach(() => vi.unstubAllEnvs())

describe.skipIf(!loadNative().native)('mapFile', () => {
  it('shows the bytes of a file, and writes never reach the file', () => {
    const path = join(folder, 'bytes é.bin')
    const bytes = Uint8Array.from({ length: 10001 }, (_, i) => i * 7)
    writeFileSync(path, bytes)
    const mapped = mapFile(path)!
    expect(Buffer.compare(mapped, bytes)).toBe(0)
    mapped[0] = 99
    expect(readFileSync(path)[0]).toBe(0)
  })

  it('maps an empty file', () => {
    writeFileSync(join(folder, 'empty'), '')
    expect(mapFile(join(folder, 'empty'))).toEqual(new Uint8Array(0))
  })

  it('names the file and the cause when it cannot', () => {
    expect(() => mapFile(join(folder, 'missing'))).toThrow(/cannot map .*missing: no such file or directory \(ENOENT\)/)
    expect(() => mapFile(folder)).toThrow(/EISDIR/)
  })
})

it('gives nothing where the native module is absent', () => {
  vi.stubEnv('SLIPWAY_NATIVE', 'off')
  expect(mapFile('/does/not/matter')).toBeUndefined()
})
