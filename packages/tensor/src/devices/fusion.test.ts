import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { add, siluMul } from '../ops/elementwise.ts'
import { linear } from '../ops/linear.ts'
import type { Fusion } from '../ops/prologue.ts'
import { quantizedLinear } from '../ops/quantized-linear.ts'
import { CaseRandom } from '../ops/random.ts'
import { rmsNorm } from '../ops/rms-norm.ts'
import type { Tensor } from '../tensor.ts'
import { cpuFor, equalBits, place, testableIsas, type Results } from '../test-harness.ts'

const isas = testableIsas()

/** Products as the models record them, by the form of their weight. */
const products = {
  'linear f32': (device: Device, random: CaseRandom, k: number, n: number) => {
    const weight = place(device, random.normal([n, k], 'f32', 1, 'linear'))
    return (x: Tensor, fusion?: Fusion) => linear(x, { weight }, fusion)
  },
  'linear bf16, rows not packed': (device: Device, random: CaseRandom, k: number, n: number) => {
    const weight = place(device, random.normal([n, k], 'bf16'))
    return (x: Tensor, fusion?: Fusion) => linear(x, { weight }, fusion)
  },
  'linear bf16, rows rounded to bf16': (device: Device, random: CaseRandom, k: number, n: number) => {
    const weight = place(device, random.normal([n, k], 'bf16', 1, 'linear'))
    return (x: Tensor, fusion?: Fusion) => linear(x, { weight, activations: 'bf16' }, fusion)
  },
  ...Object.fromEntries(
    ([4, 8] as const).map((bits) => [
      `quantizedLinear ${bits} bits`,
      (device: Device, random: CaseRandom, k: number, n: number) => {
        const words = place(device, random.integers([n, (k * bits) / 32], 2 ** 32, 'u32', 'linear'))
        const scales = place(device, random.normal([n, Math.ceil(k / 128)], 'f16', 0.01, 'linear'))
        const bias = place(device, random.normal([n]))
        return (x: Tensor, fusion?: Fusion) => quantizedLinear(x, { words, scales, bias, bits, group: 128 }, fusion)
      },
    ]),
  ),
}

describe.skipIf(isas.length === 0)('products that take other ops along', () => {
  it('are tried on every instruction set', () => expect(isas.length).toBeGreaterThan(0))

  describe.each(isas)('%s', (isa) => {
    const devices: Device[] = []
    beforeAll(() => {
      for (const threads of [1, 2, 3, 5]) devices.push(cpuFor(isa, threads).device)
    })
    afterAll(() => {
      for (const device of devices) device.close()
    })

    describe.each(Object.entries(products))('%s', (_, prepare) => {
      // from one row prepared by every thread for itself to several blocks prepared by all together
      it.each([
        [1, 128],
        [1, 9216],
        [5, 904],
        [33, 1024],
        [150, 296],
      ])('has the bits of separate ops: %i x %i', async (rows, k) => {
        const results: Results[] = []
        for (const device of devices) {
          const random = new CaseRandom(rows + k)
          const product = prepare(device, random, k, 70)
          const [x, wide] = [place(device, random.normal([rows, k])), place(device, random.normal([rows, 2 * k]))]
          const norm = { weight: place(device, random.normal([k])), eps: 1e-6 }
          const residual = place(device, random.normal([rows, 70]))
          const fused = [product(x, { norm }), product(wide, { siluMul: true, residual }), product(x, { residual })]
          const apart = [
            product(rmsNorm(x, norm.weight, norm.eps)),
            add(product(siluMul(wide)), residual),
            add(product(x), residual),
          ]
          await device.run([...fused, ...apart])
          const read = (tensors: Tensor[]): Promise<Results> => Promise.all(tensors.map((t) => device.read(t)))
          results.push(await read(fused), await read(apart))
        }
        for (const other of results.slice(1)) expect(equalBits(other, results[0]!)).toBe(true)
      })
    })
  })
})
