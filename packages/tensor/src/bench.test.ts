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
})
