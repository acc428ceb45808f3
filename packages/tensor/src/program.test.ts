import { describe, expect, it } from 'vitest'
import { Device } from './device.ts'
import { nullDevice } from './devices/null.ts'
import { referenceDevice } from './devices/reference.ts'
import { add, siluMul } from './ops/elementwise.ts'
import { selectRows } from './ops/embedding.ts'
import { linear } from './ops/linear.ts'
import { CaseRandom } from './ops/random.ts'
import { rmsNorm } from './ops/rms-norm.ts'
import { rope } from './ops/rope.ts'
import type { Program } from './program.ts'
import { byteLengthOf, columns, type Tensor } from './tensor.ts'
import { cpuFor, equalBits, isNear, testableIsas } from './test-harness.ts'

const [rows, cols] = [5, 48]

/** Records `length` random ops over [5, 48] tensors, views included, and returns all results. */
function recordRandom(device: Device, seed: number, length: number): Tensor[] {
  const random = new CaseRandom(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random.next() * from.length)]!
  const pool = [0, 1].map(() => device.tensor(random.normal([rows, cols]).data, [rows, cols], 'f32'))
  const weights = [cols, 2 * cols].map((n) =>
    device.weight('linear', [bytes(random.normal([n, cols], 'f32', 0.1).data)], [n, cols], 'f32'),
  )
  const gain = device.tensor(random.normal([cols]).data, [cols], 'f32')
  const order = device.tensor([4, 3, 2, 1, 0], [rows], 'i32')
  const angles = device.tensor(random.normal([rows, 8]).data, [rows, 8], 'f32')
  const results: Tensor[] = []
  for (let i = 0; i < length; i++) {
    // recent results are likelier, so that old ones die and their memory is used again
    const x = random.next() < 0.7 ? pool.at(-1 - Math.floor(random.next() * Math.min(3, pool.length)))! : pick(pool)
    const wide = (): Tensor => linear(x, { weight: weights[1]! })
    const made = pick<() => Tensor>([
      () => add(x, pick(pool)),
      () => rmsNorm(x, gain, 1e-5),
      () => siluMul(wide()),
      () => add(columns(wide(), 5, 5 + cols), x),
      () => linear(x, { weight: weights[0]!, bias: gain }),
      () => selectRows(x, order),
      () => rope(x, angles, 16),
    ])()
    pool.push(made)
    results.push(made)
  }
  return results
}

function bytes(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
}

describe('random programs', () => {
  const seeds = Array.from({ length: 12 }, (_, i) => i)

  it.each(seeds)('no two live tensors overlap, and no memory is wasted (seed %i)', async (seed) => {
    const { device, counted } = nullDevice()
    const results = recordRandom(device, seed, 60)
    const program = await device.run([results.at(-1)!])
    expectDisjoint(program)
    const total = [...program.placement.keys()].reduce((sum, tensor) => sum + byteLengthOf(tensor), 0)
    expect(program.arenaBytes).toBeLessThan(total / 2)
    expect(counted.totals).toMatchObject({ steps: program.steps.length, arenaBytes: program.arenaBytes })
    expect(counted.totals.flops).toBeGreaterThan(0)
    expect(counted.totals.bytes).toBeGreaterThan(0)
    expect(counted.totals.barriers).toBe(program.barriers.filter(Boolean).length)
    expect(counted.residentBytes).toBeGreaterThan(0)
    expect(await device.read(results.at(-1)!)).toEqual(new Float32Array(rows * cols))
    device.close()
  })

  it.skipIf(testableIsas().length === 0).each(seeds)(
    'arena, barriers and many threads change nothing (seed %i)',
    async (seed) => {
      // more threads than cores, so that they interleave in every order
      const threads = [1, 2, 7]
      const kept: Float32Array[] = []
      for (const count of threads) {
        const { device } = cpuFor(testableIsas()[0]!, count)
        const results = recordRandom(device, seed, 60)
        await device.run([results.at(-1)!, results.at(-7)!])
        kept.push(
          (await device.read(results.at(-1)!)) as Float32Array,
          (await device.read(results.at(-7)!)) as Float32Array,
        )
        device.close()
      }
      for (let i = 2; i < kept.length; i++) expect(equalBits([kept[i]!], [kept[i % 2]!])).toBe(true)

      // every result with memory of its own: no reuse that could go wrong
      const { device } = cpuFor(testableIsas()[0]!, 1)
      const results = recordRandom(device, seed, 60)
      await device.run(results)
      expect(
        equalBits([await device.read(results.at(-1)!), await device.read(results.at(-7)!)], kept.slice(0, 2)),
      ).toBe(true)
      device.close()

      const reference = referenceDevice()
      const expected = recordRandom(reference, seed, 60)
      await reference.run([expected.at(-1)!])
      const values = await reference.read(expected.at(-1)!)
      expect(values.every((x, i) => isNear(kept[0]![i]!, x, { absolute: 5e-3, relative: 5e-3 }))).toBe(true)
    },
  )
})

function expectDisjoint({ steps, placement, arenaBytes }: Program): void {
  const lives = new Map<Tensor, { start: number; end: number }>()
  for (const [i, step] of steps.entries()) {
    for (const { base } of step.outputs) if (placement.has(base)) lives.set(base, { start: i, end: i })
    for (const tensor of step.inputs) {
      const life = tensor && lives.get(tensor.base)
      if (life) life.end = i
    }
  }
  expect(lives.size).toBe(placement.size)
  const all = [...lives].map(([tensor, life]) => ({ ...life, at: placement.get(tensor)!, size: byteLengthOf(tensor) }))
  for (const [i, a] of all.entries()) {
    if (a.at % 64 !== 0 || a.at + a.size > arenaBytes) expect.fail(`tensor ${i} lies at ${a.at}`)
    for (const b of all.slice(0, i)) {
      const together = a.start <= b.end && b.start <= a.end
      if (together && a.at < b.at + b.size && b.at < a.at + a.size) expect.fail(`tensor ${i} overlaps another`)
    }
  }
}
