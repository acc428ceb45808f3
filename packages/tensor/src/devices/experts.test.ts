import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { referenceDevice } from './reference.ts'
import { expertLinear, expertLinearOp } from '../ops/expert-linear.ts'
import type { ExpertChoice, ExpertFusion } from '../ops/experts.ts'
import { linear } from '../ops/linear.ts'
import { quantizedExpertLinear } from '../ops/quantized-expert-linear.ts'
import { quantizedLinear } from '../ops/quantized-linear.ts'
import { CaseRandom } from '../ops/random.ts'
import type { HostTensor } from '../op.ts'
import { columns, type Tensor } from '../tensor.ts'
import { cpuFor, place, testableIsas } from '../test-harness.ts'

const isas = testableIsas()

interface Product {
  /** With the weights of all experts. */
  readonly all: (x: Tensor, choice: ExpertChoice, fusion: ExpertFusion) => Tensor
  /** With those of one. */
  readonly alone: (expert: number, x: Tensor, fusion: ExpertFusion) => Tensor
}

type Prepare = (device: Device, random: CaseRandom, experts: number, n: number, k: number) => Product

/** Rows [expert * n, (expert + 1) * n) of a stacked weight, as a weight of its own. */
function part(device: Device, stack: HostTensor, expert: number, n: number): Tensor {
  const cols = stack.shape[1]!
  const data = stack.data.slice(expert * n * cols, (expert + 1) * n * cols)
  return place(device, { ...stack, shape: [n, cols], data })
}

function floats(dtype: 'f32' | 'bf16' | 'f16'): Prepare {
  return (device, random, experts, n, k) => {
    const stack = random.normal([experts * n, k], dtype, 1, 'linear')
    const weight = place(device, stack)
    return {
      all: (x, choice, fusion) => expertLinear(x, { weight }, choice, fusion),
      alone: (expert, x, fusion) => linear(x, { weight: part(device, stack, expert, n) }, fusion),
    }
  }
}

function integers(bits: 4 | 8): Prepare {
  return (device, random, experts, n, k) => {
    const group = 64
    const stacks = {
      words: random.integers([experts * n, (k * bits) / 32], 2 ** 32, 'u32', 'linear'),
      scales: random.normal([experts * n, k / group], 'f16', 0.01, 'linear'),
      zeros: random.integers([experts * n, k / group], 2 ** bits, 'u8', 'linear'),
    }
    const weight = (take: (stack: HostTensor) => Tensor) => ({
      words: take(stacks.words),
      scales: take(stacks.scales),
      zeros: take(stacks.zeros),
      bits,
      group,
    })
    const whole = weight((stack) => place(device, stack))
    return {
      all: (x, choice, fusion) => quantizedExpertLinear(x, whole, choice, fusion),
      alone: (expert, x, fusion) =>
        quantizedLinear(
          x,
          weight((stack) => part(device, stack, expert, n)),
          fusion,
        ),
    }
  }
}

const forms = {
  f32: floats('f32'),
  bf16: floats('bf16'),
  f16: floats('f16'),
  '4 bits': integers(4),
  '8 bits': integers(8),
}

describe.each(isas)('products with experts on %s', (isa) => {
  const devices: Device[] = []
  beforeAll(() => {
    for (const threads of [1, 2, 3, 5]) devices.push(cpuFor(isa, threads).device)
  })
  afterAll(() => {
    for (const device of devices) device.close()
  })

  describe.each(Object.entries(forms))('%s', (_, prepare) => {
    // from rows that every thread prepares for itself to experts with several blocks of rows; outputs on and off the panels
    it.each([
      { rows: 1, slots: 2, experts: 4, n: 64, k: 128 },
      { rows: 3, slots: 3, experts: 5, n: 23, k: 4096 },
      { rows: 40, slots: 4, experts: 7, n: 50, k: 192 },
      { rows: 230, slots: 2, experts: 2, n: 40, k: 128 },
    ])('have the bits of each expert alone: %j', async ({ rows, slots, experts, n, k }) => {
      for (const device of devices) {
        const random = new CaseRandom(rows + n)
        const { all, alone } = prepare(device, random, experts, n, k)
        const ids = random.integers([rows, slots], experts)
        const norm = { weight: place(device, random.normal([k])), eps: 1e-6 }
        const [x, wide] = [place(device, random.normal([rows, k])), place(device, random.normal([rows, slots * 2 * k]))]
        const choice = { ids: place(device, ids), numExperts: experts }
        const shared = all(x, { ...choice, perSlot: false }, { norm })
        const own = all(wide, { ...choice, perSlot: true }, { siluMul: true })
        // every expert with all rows, of which those that chose it count
        const each = Array.from({ length: experts }, (_unused, e) => ({
          shared: alone(e, x, { norm }),
          own: Array.from({ length: slots }, (_slot, s) =>
            alone(e, columns(wide, s * 2 * k, (s + 1) * 2 * k), { siluMul: true }),
          ),
        }))
        await device.run([shared, own, ...each.flatMap((one) => [one.shared, ...one.own])])
        const got = [await device.read(shared), await device.read(own)]
        const expected = await Promise.all(
          each.map(async (one) => ({
            shared: await device.read(one.shared),
            own: await Promise.all(one.own.map((tensor) => device.read(tensor))),
          })),
        )
        for (let slot = 0; slot < rows * slots; slot++) {
          const [row, of] = [Math.floor(slot / slots), expected[ids.data[slot]!]!]
          const wanted = [of.shared, of.own[slot % slots]!]
          for (const [i, result] of got.entries())
            expect(result.slice(slot * n, (slot + 1) * n)).toEqual(wanted[i]!.slice(row * n, (row + 1) * n))
        }
      }
    })

    it.each([-1, 4])('an expert %i that does not exist is an error, and the device goes on', async (id) => {
      for (const device of devices) {
        const random = new CaseRandom(3)
        const { all } = prepare(device, random, 4, 32, 4096)
        const x = place(device, random.normal([9, 4096]))
        const ids = (last: number): Tensor => device.tensor([0, 1, 2, 3, 0, 1, 2, 3, last], [9, 1], 'i32')
        all(x, { ids: ids(id), numExperts: 4, perSlot: false }, {})
        await expect(device.run([])).rejects.toThrow(`index ${id} is out of range`)
        const good = all(x, { ids: ids(3), numExperts: 4, perSlot: false }, {})
        await device.run([good])
        expect((await device.read(good)).every(Number.isFinite)).toBe(true)
      }
    })
  })
})

it('a choice that does not fit the tensors is an error', () => {
  const device = referenceDevice()
  const x = device.zeros([2, 8], 'f32')
  const weight = device.zeros([6, 8], 'f32')
  const withIds = (rows: number, slots: number, numExperts: number, perSlot: boolean) => () =>
    expertLinear(x, { weight }, { ids: device.zeros([rows, slots], 'i32'), numExperts, perSlot })
  expect(withIds(3, 1, 2, false)).toThrow('x is [2,8], the ids [3,1]')
  expect(withIds(2, 3, 2, true)).toThrow('x is [2,8] for 3 slots')
  expect(withIds(2, 2, 4, false)).toThrow('the weight is [6,8] for 4 experts')
  expect(withIds(2, 2, 3, true)).toThrow('4 columns meet a weight [6,8]')
  device.close()
})

it('costs count every expert that is read once', () => {
  const spec = (dtype: 'f32' | 'i32', ...shape: number[]) => ({ shape, dtype })
  const inputs = [spec('f32', 3, 8), spec('f32', 50, 8), spec('i32', 3, 2), undefined]
  const attributes = { numExperts: 5, perSlot: 0, prologue: 0, eps: 0, rounding: 0 }
  const outputs = expertLinearOp.infer(inputs, attributes)
  const weightBytes = (ids?: readonly number[]): number =>
    expertLinearOp.cost(inputs, outputs, attributes, [undefined, undefined, ids]).bytes - 4 * (3 * 8 + 3 * 2 + 3 * 20)
  expect(weightBytes()).toBe(4 * 50 * 8)
  expect(weightBytes([4, 1, 1, 4, 4, 1])).toBe(2 * 4 * 10 * 8)
})
