import { afterEach, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { SlipwayError } from '../errors.ts'
import { faults, loadNative } from '../native.ts'
import type { Op } from '../op.ts'
import { attentionOp } from '../ops/attention.ts'
import { add, siluMul } from '../ops/elementwise.ts'
import { embedding, embeddingOp, selectRows } from '../ops/embedding.ts'
import { kvWriteOp } from '../ops/kv-cache.ts'
import { linear, linearOp } from '../ops/linear.ts'
import { roundingOf } from '../ops/prologue.ts'
import { CaseRandom, given } from '../ops/random.ts'
import { logprobsOp } from '../ops/logprobs.ts'
import { adjustLogitsOp } from '../ops/sample.ts'
import { bytesOfArray } from '../device.ts'
import { cpuFor, equalBits, isNear, place, rowAlone, runCase, testableIsas } from '../test-harness.ts'
import { cpuDevice } from './cpu.ts'

const isas = testableIsas()
const open: Device[] = []
const device = (isa = isas[0]!, threads = 2): Device => {
  open.push(cpuFor(isa, threads).device)
  return open.at(-1)!
}
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

async function stillWorks(cpu: Device): Promise<boolean> {
  const x = cpu.tensor([1, 2], [1, 2], 'f32')
  const y = add(x, x)
  await cpu.run([y])
  return equalBits([await cpu.read(y)], [new Float32Array([2, 4])])
}

describe.skipIf(isas.length === 0)('the cpu device', () => {
  const random = new CaseRandom(21)
  const i32 = (values: number[], shape = [values.length]) => given(values, shape, 'i32')
  const cache = random.normal([4, 8, 16])
  const attend = (table: number[], sequence: number, position: number) => ({
    op: attentionOp,
    inputs: [
      random.normal([1, 32]),
      cache,
      cache,
      undefined,
      undefined,
      i32(table, [1, 2]),
      i32([sequence]),
      i32([position]),
    ],
    attributes: { numHeads: 2, numKvHeads: 1, scale: 1, window: 0 },
  })
  const adjust = (starts: number[], token: number) => ({
    op: adjustLogitsOp,
    inputs: [
      random.normal([1, 5]),
      i32(starts),
      i32([token]),
      i32([1]),
      i32([0]),
      random.normal([1]),
      random.normal([1, 3]),
    ],
    attributes: {},
  })
  const embed = (id: number, role?: 'linear') => ({
    op: { ...embedding } as unknown as Op,
    inputs: [{ ...random.normal([3, 4]), ...(role && { role }) }, i32([0, id]), undefined],
    attributes: {},
  })

  describe('reports an index out of range, whatever it would reach', () => {
    it.each([
      { label: 'attention: block -1', ...attend([-1, 0], 0, 3) },
      { label: 'attention: block past the cache', ...attend([0, 4], 0, 9) },
      { label: 'attention: position past the table', ...attend([0, 1], 0, 16) },
      { label: 'attention: negative position', ...attend([0, 1], 0, -1) },
      { label: 'attention: unknown sequence', ...attend([0, 1], 1, 0) },
      { label: 'attention: negative sequence', ...attend([0, 1], -1, 0) },
      {
        label: 'kvWrite: slot past the cache',
        op: kvWriteOp,
        inputs: [cache, cache, undefined, undefined, random.normal([1, 16]), random.normal([1, 16]), i32([32])],
        attributes: {},
      },
      { label: 'adjustLogits: token past the row', ...adjust([0, 1], 5) },
      { label: 'adjustLogits: negative token', ...adjust([0, 1], -1) },
      { label: 'adjustLogits: entries past the list', ...adjust([0, 2], 0) },
      { label: 'adjustLogits: negative entry', ...adjust([-1, 1], 0) },
      {
        label: 'logprobs: chosen id past the row',
        op: logprobsOp,
        inputs: [random.normal([1, 5]), i32([5])],
        attributes: { k: 1 },
      },
    ])('$label', async ({ label, op, inputs, attributes }) => {
      for (const isa of isas) {
        const cpu = device(isa)
        const error = await runCase(cpu, op, { label, inputs, attributes }).catch((e: unknown) => e)
        expect(SlipwayError.is(error) && error.message).toMatch(
          new RegExp(`^${op.name}: index -?\\d+ is out of range$`),
        )
        expect(await stillWorks(cpu)).toBe(true)
      }
    })

    it.each([
      [-1, 'row'],
      [3, 'row'],
      [3, 'panel'],
    ] as const)('embedding: id %i of a %s table', async (id, layout) => {
      const cpu = device()
      const { inputs } = embed(id, layout === 'panel' ? 'linear' : undefined)
      const ids = place(cpu, inputs[1]!)
      const out = embedding({ weight: place(cpu, inputs[0]!) }, ids)
      await expect(cpu.run([out])).rejects.toThrow(`embedding: index ${id} is out of range`)
      expect(await stillWorks(cpu)).toBe(true)
    })

    it('unused entries of a block table may hold anything', async () => {
      const cpu = device()
      const { op, inputs, attributes } = attend([2, 99], 0, 7)
      await expect(runCase(cpu, op, { label: '', inputs, attributes })).resolves.toHaveLength(1)
    })
  })

  it('refuses ops and dtypes without a kernel', async () => {
    const cpu = device()
    const x = cpu.zeros([1, 4], 'f32')
    const w = cpu.zeros([4, 4], 'u8')
    expect(() => cpu.record({ ...linearOp, name: 'unknown' }, [x, w], {})).toThrow(/has no op unknown/)
    // past the shape rule, as a bug of ours would come
    const cache = cpu.zeros([1, 4, 4], 'u8')
    const one = cpu.zeros([1], 'i32')
    const table = cpu.zeros([1, 1], 'i32')
    for (const [op, inputs] of [
      [linearOp, [x, w, undefined, undefined, undefined, undefined]],
      [embeddingOp, [w, one, undefined]],
      [kvWriteOp, [cache, cache, undefined, undefined, x, x, one]],
      [attentionOp, [x, cache, cache, undefined, undefined, table, one, one]],
    ] as const) {
      const careless: Op = { ...op, infer: () => (op === kvWriteOp ? [] : [{ shape: [1, 4], dtype: 'f32' }]) }
      const outputs = cpu.record(careless, inputs, {
        prologue: 0,
        eps: 0,
        numHeads: 1,
        numKvHeads: 1,
        scale: 1,
        window: 0,
      })
      await expect(cpu.run(outputs), op.name).rejects.toThrow(`${op.name}: no kernel for these dtypes`)
    }
    expect(await stillWorks(cpu)).toBe(true)
  })

  it('native functions refuse wrong arguments', () => {
    const native = loadNative().native!
    const engine = native.open(
      1,
      native.targets().findIndex(([, supported]) => supported),
    )!
    expect(native.run(engine, new Float64Array([99, 0, 0, 0]), 4)).toEqual([1, 0, 0])
    expect(native.run(engine, new Float64Array(4), 5)).toEqual([1, 0, 0])
    expect(native.run(engine, new Float64Array([8, 0, 3, 0, NaN]), 5)).toEqual([1, 0, 0])
    expect(native.run(engine, new Float64Array(0), 0)).toBeUndefined()
    native.close(engine)
    expect(native.run(engine, new Float64Array(0), 0)).toEqual([1, 0, 0])
    expect(native.open(0, 0)).toBeUndefined()
    expect(native.open(1, 99)).toBeUndefined()
    expect(native.allocate(-1)).toBeUndefined()
    expect(native.addressOf('no' as unknown as Uint8Array)).toBeUndefined()
    expect(faults[3]!(10)).toMatch(/no memory for 10 bytes/)
    expect(faults[4]!(0)).toMatch(/no kernel/)
    expect(faults[1]!(0)).toMatch(/malformed/)
  })

  it('rejects bad options, closes cleanly and then says that it is closed', async () => {
    expect(() => cpuDevice({ threads: 0 })).toThrow(/whole number from 1 to 1024/)
    expect(() => cpuDevice({ threads: 1.5 })).toThrow(SlipwayError)
    const cpu = cpuDevice({ threads: 3 })
    expect(cpu.name).toMatch(/^cpu \([\w-]+, 3 threads\)$/)
    cpu.close()
    await expect(cpu.run([])).rejects.toThrow('the cpu device is closed')
    cpu.close()
  })

  it('several devices run side by side and sleep in between', async () => {
    const devices = [1, 2, 3].map((threads) => device(isas[0], threads))
    for (let i = 0; i < 3; i++) {
      for (const one of devices) expect(await stillWorks(one)).toBe(true)
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
  })

  it('keeps large tensors in memory of their own, zeroed and aligned', async () => {
    const cpu = device()
    const big = cpu.zeros([600, 1024], 'f32')
    expect((await cpu.read(big)).every((x) => x === 0)).toBe(true)
    const values = Float32Array.from({ length: 600 * 1024 }, (_, i) => i)
    const other = cpu.fromBytes(bytesOfArray(values), [600, 1024], 'f32')
    const sum = add(big, other)
    await cpu.run([sum])
    expect(equalBits([await cpu.read(sum)], [values])).toBe(true)
  })

  it('packs weights from several parts at any alignment', async () => {
    const cpu = device()
    for (const dtype of ['f32', 'bf16', 'i8'] as const) {
      const whole = dtype === 'i8' ? random.integers([70, 33], 128, 'i8') : random.normal([70, 33], dtype)
      const bytes = bytesOfArray(whole.data)
      const rowBytes = bytes.length / 70
      // shifted by one byte, as in a mapped file
      const shifted = new Uint8Array(bytes.length + 1)
      shifted.set(bytes, 1)
      const parts = [
        shifted.subarray(1, 1 + 31 * rowBytes),
        shifted.subarray(1 + 31 * rowBytes, 1 + 40 * rowBytes),
        shifted.subarray(1 + 40 * rowBytes),
      ]
      const x = cpu.tensor(random.normal([2, 33]).data, [2, 33], 'f32')
      const scale = dtype === 'i8' ? { scale: cpu.tensor(random.normal([70]).data, [70], 'f32') } : {}
      const results = []
      for (const weight of [cpu.weight('linear', parts, [70, 33], dtype), cpu.fromBytes(bytes, [70, 33], dtype)]) {
        const y = linear(x, { weight, ...scale })
        await cpu.run([y])
        results.push(await cpu.read(y))
      }
      expect(equalBits([results[0]!], [results[1]!]), 'packed and unpacked weights give equal bits').toBe(true)
    }
    expect(() => cpu.weight('linear', [new Uint8Array(9), new Uint8Array(7)], [2, 4], 'bf16')).toThrow(/not whole rows/)
    expect(cpu.weight('vector', [new Uint8Array(8)], [2], 'f32').layout).toBe('row')
  })
})

describe.skipIf(isas.length === 0)('rows do not know their neighbours', () => {
  const random = new CaseRandom(22)

  it.each([
    ['f32', 'f32'],
    ['f32', 'bf16'],
    ['bf16', 'bf16'],
    ['f32', 'f16'],
    ['f32', 'i8'],
  ] as const)('linear, %s by %s, over many blocks of rows and k', async (rowType, dtype) => {
    const [rows, k, n] = [205, 700, 100]
    const weight =
      dtype === 'i8' ? random.integers([n, k], 128, 'i8', 'linear') : random.normal([n, k], dtype, 1, 'linear')
    const scale = dtype === 'i8' ? random.normal([n], 'f32', 0.01) : undefined
    const inputs = [random.normal([rows, k]), weight, scale, undefined, undefined, undefined]
    const opCase = { label: '', inputs, attributes: { prologue: 0, eps: 0, ...roundingOf(rowType) } }
    for (const isa of isas) {
      const batch = await runCase(device(isa, 1), linearOp, opCase)
      for (const threads of [2, 3, 7]) {
        const other = await runCase(device(isa, threads), linearOp, opCase)
        expect(equalBits(other, batch), `${isa}, ${threads} threads`).toBe(true)
      }
      const cpu = device(isa, 2)
      for (const row of [0, 1, 47, 48, 95, 96, 127, 128, 204]) {
        const alone = await runCase(cpu, linearOp, rowAlone(linearOp, opCase, row))
        expect(equalBits(alone, [batch[0]!.slice(row * n, (row + 1) * n)]), `${isa}, row ${row}`).toBe(true)
      }
      const expected = await runCase(device(isas.at(-1)), linearOp, opCase)
      const near = batch[0]!.every((x, i) => isNear(x, expected[0]![i]!, { absolute: 2e-3, relative: 1e-4 }))
      expect(near, `${isa} is near ${isas.at(-1)}`).toBe(true)
    }
  })

  it('attention does not depend on block size, placement or the rest of the batch', async () => {
    const [keys, width, heads, kvHeads] = [150, 24, 4, 2]
    const columns = kvHeads * width
    const k = random.normal([keys, columns], 'bf16').data
    const v = random.normal([keys, columns], 'bf16').data
    const q = random.normal([1, heads * width])
    const attributes = { numHeads: heads, numKvHeads: kvHeads, scale: 0.2, window: 0 }
    for (const isa of isas) {
      const cpu = device(isa)
      const results = []
      for (const blockSize of [1, 16, 23, 32, 200]) {
        const blocks = Math.ceil(keys / blockSize)
        const order = Array.from({ length: blocks }, (_, i) => (i * 7 + 3) % blocks)
        // a permutation only where 7 and the number of blocks have no common factor
        const table = new Set(order).size === blocks ? order : order.map((_, i) => blocks - 1 - i)
        const paged = (data: typeof k) => {
          const out = new Uint16Array(blocks * blockSize * columns)
          for (let j = 0; j < keys; j++) {
            const slot = table[Math.floor(j / blockSize)]! * blockSize + (j % blockSize)
            out.set(data.subarray(j * columns, (j + 1) * columns), slot * columns)
          }
          return { shape: [blocks, blockSize, columns], dtype: 'bf16' as const, data: out }
        }
        const inputs = [
          q,
          { ...paged(k), role: 'keys' as const },
          paged(v),
          undefined,
          undefined,
          given(table, [1, blocks], 'i32'),
          given([0], [1], 'i32'),
          given([keys - 2], [1], 'i32'),
        ]
        results.push(await runCase(cpu, attentionOp, { label: '', inputs, attributes }))
      }
      for (const other of results.slice(1)) expect(equalBits(other, results[0]!)).toBe(true)
    }
  })
})

describe.skipIf(isas.length === 0)('half floats in C++ are those of dtype.ts', () => {
  it.each(['bf16', 'f16'] as const)('%s: every pattern decodes and rounds alike', async (dtype) => {
    const patterns = Uint16Array.from({ length: 65536 }, (_, i) => i)
    const values = new CaseRandom(3).normal([64, 1024], 'f32', 4000).data as Float32Array
    // halfway points and their neighbours, and the special values
    for (let i = 0; i < 20000; i++) values[i] = (1 + i / 2048) * 2 ** ((i % 40) - 26)
    values.set([NaN, Infinity, -Infinity, 65504, 65519.996, 65520, -0, 2 ** -24, 2 ** -25, 1e-45, 3.4e38], 30000)
    for (const isa of isas) {
      const cpu = device(isa)
      const table = cpu.fromBytes(bytesOfArray(patterns), [64, 1024], dtype)
      const rows = cpu.tensor(
        Array.from({ length: 64 }, (_, i) => i),
        [64],
        'i32',
      )
      const decoded = selectRows(table, rows)
      await cpu.run([decoded])
      const expected = await referenceDecode(table.dtype, patterns)
      const actual = await cpu.read(decoded)
      expect(actual.every((x, i) => Object.is(x, expected[i]!))).toBe(true)

      const written = await runCase(cpu, kvWriteOp, {
        label: '',
        inputs: [
          { shape: [2, 32, 1024], dtype, data: new Uint16Array(65536), role: 'keys' as const },
          { shape: [2, 32, 1024], dtype, data: new Uint16Array(65536) },
          undefined,
          undefined,
          given([...values], [64, 1024], 'f32'),
          given([...values], [64, 1024], 'f32'),
          given([...Array(64).keys()], [64], 'i32'),
        ],
        attributes: {},
      })
      const encoded = given([...values], [64, 1024], dtype).data
      expect(equalBits(written, [encoded, encoded])).toBe(true)
    }
  })
})

async function referenceDecode(dtype: 'bf16' | 'f16' | string, patterns: Uint16Array): Promise<Float32Array> {
  const { toF32 } = await import('../dtype.ts')
  return toF32(dtype as 'bf16', patterns)
}

it.skipIf(isas.length === 0)('siluMul survives extreme gates', async () => {
  const cpu = device()
  const x = cpu.tensor([-200, 200, NaN, -Infinity, 1, 1, 1, 1], [1, 8], 'f32')
  const y = siluMul(x)
  await cpu.run([y])
  const [a, b, c] = await cpu.read(y)
  expect(Math.abs(a!)).toBeLessThan(1e-30)
  expect([b, c]).toEqual([200, NaN])
})
