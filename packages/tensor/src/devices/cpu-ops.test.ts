import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { loadNative } from '../native.ts'
import { ops } from '../ops/index.ts'
import {
  casesOfAllOps,
  cpuFor,
  difference,
  equalBits,
  rowAlone,
  runCase,
  runGuarded,
  runReference,
  runStrided,
  testableIsas,
  type Results,
} from '../test-harness.ts'

const isas = testableIsas()
const cases = casesOfAllOps().filter(({ op }) => loadNative().native?.ops().includes(op.name))

/** Elements of row `row` of a result. */
function rowOf(result: Results[number], rows: number, row: number): Results[number] {
  const width = result.length / rows
  return result.slice(row * width, (row + 1) * width)
}

describe.skipIf(isas.length === 0)('every op on the cpu device', () => {
  it('has a kernel', () => {
    expect(loadNative().native!.ops()).toEqual(expect.arrayContaining(ops.map(({ name }) => name)))
  })

  describe.each(isas)('%s', (isa) => {
    const devices: ReturnType<typeof cpuFor>[] = []
    let one: Device
    beforeAll(() => {
      for (const threads of [1, 2, 3]) devices.push(cpuFor(isa, threads))
      one = devices[0]!.device
    })
    afterAll(() => {
      for (const { device } of devices) device.close()
    })

    it.each(cases)('$label', async ({ op, opCase }) => {
      const expected = await runReference(op, opCase)
      const actual = await runCase(one, op, opCase)
      expect(difference(op, opCase, actual, expected)).toBeUndefined()

      for (const { device } of devices.slice(1))
        expect(equalBits(await runCase(device, op, opCase), actual), 'threads do not change bits').toBe(true)
      expect(equalBits(await runStrided(one, op, opCase), actual), 'column views give equal bits').toBe(true)
      const { results, intact } = await runGuarded(devices[1]!, op, opCase)
      expect(intact, 'memory around the outputs is untouched').toBe(true)
      expect(equalBits(results, actual.slice(0, results.length)), 'strided outputs hold equal bits').toBe(true)

      const rows = opCase.inputs[op.rowInputs[0] ?? -1]?.shape[0] ?? 0
      if (!(op.updates ?? []).every((i) => op.rowInputs.includes(i))) return
      for (let row = 0; row < rows; row++) {
        const alone = await runCase(one, op, rowAlone(op, opCase, row))
        const inBatch = actual.map((result) => rowOf(result, rows, row))
        expect(equalBits(alone, inBatch), `row ${row} alone equals row ${row} of the batch`).toBe(true)
      }
    })
  })

  // targets without a fused multiply-add round more often; of bf16 rows AVX-512 adds two products at a time
  const fused = isas.filter((isa) => isa !== 'baseline')
  it.skipIf(fused.length < 2)(`gives equal bits on ${fused.join(' and ')}`, async () => {
    const devices = fused.map((isa) => cpuFor(isa, 2).device)
    for (const { op, label, opCase } of cases.filter((one) => !one.opCase.attributes['rounding'])) {
      const results: Results[] = []
      for (const device of devices) results.push(await runCase(device, op, opCase))
      for (const other of results.slice(1)) expect(equalBits(other, results[0]!), label).toBe(true)
    }
    for (const device of devices) device.close()
  })
})
