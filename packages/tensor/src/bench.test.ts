import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { benchCases } from './bench-cases.ts'
import { timeCase } from './bench.ts'
import { CpuBackend } from './devices/cpu.ts'
import { loadNative } from './native.ts'
import { ops } from './ops/index.ts'
import { adjustLogitsOp } from './ops/sample.ts'

it('every op but the sparse adjustLogits is timed, with shapes that fit', () => {
  const cases = benchCases()
  expect(new Set(cases.map(({ op }) => op))).toEqual(new Set(ops.filter((op) => op !== adjustLogitsOp)))
  for (const { op, inputs, attributes } of cases) op.infer(inputs, attributes)
})

describe.skipIf(!loadNative().native)('timeCase', () => {
  it('measures an op', async () => {
    const backend = new CpuBackend(loadNative().native!, { threads: 1 })
    const small = benchCases().filter(({ label }) => ['1x2048', '1x256 bf16', '1x151936'].includes(label))
    for (const one of small) expect(await timeCase(backend, one, 0.005)).toBeGreaterThan(0)
    backend.close()
  })

  it('prints a line for each case of an op, beside the limits of the machine', async () => {
    const file = fileURLToPath(new URL('bench.js', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [file, 'argmax', '1'])
    const [machine, header, ...lines] = stdout.trim().split('\n')
    expect(machine).toMatch(/1 threads: reads [\d.]+ GB\/s, f32 peak \d+ GFLOP\/s/)
    expect(header).toMatch(/us +GFLOP\/s +% peak +GB\/s +% read$/)
    expect(lines).toHaveLength(benchCases().filter(({ op }) => op.name === 'argmax').length)
    for (const line of lines) expect(line).toMatch(/^argmax .+( +\d+(\.\d)?){5}$/)
  })
})
