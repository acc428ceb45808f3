import { describe, expect, it, test } from 'vitest'
import { Device, type Backend, type ObservedRun } from './device.ts'
import { cpuAvailable, cpuDevice } from './devices/cpu.ts'
import { referenceDevice } from './devices/reference.ts'
import { SlipwayError } from './errors.ts'
import { attention } from './ops/attention.ts'
import { kvWrite } from './ops/kv-cache.ts'
import { add } from './ops/elementwise.ts'
import { embedding } from './ops/embedding.ts'
import { linear } from './ops/linear.ts'
import { rmsNorm } from './ops/rms-norm.ts'
import { ropeTable } from './ops/rope.ts'
import { columns } from './tensor.ts'

describe('Device', () => {
  it('records, runs and reads; what was not asked for is gone', async () => {
    const device = referenceDevice()
    const x = device.tensor([1, 2, 3, 4], [2, 2], 'f32')
    const middle = add(x, x)
    const y = add(middle, x)
    const program = await device.run([y])
    expect(program.steps.map(({ op }) => op.name)).toEqual(['add', 'add'])
    expect(await device.read(y)).toEqual(new Float32Array([3, 6, 9, 12]))
    await expect(device.read(middle)).rejects.toThrow(/only whole tensors that a run has kept/)
    expect(device.name).toBe('reference')
    device.close()
  })

  it.each([referenceDevice, ...(cpuAvailable().available ? [cpuDevice] : [])])(
    'replays a captured program on new values: %o',
    async (open) => {
      const device = open()
      const x = device.tensor([1, 2, 3, 4], [2, 2], 'f32')
      const y = add(add(x, x), x)
      const program = device.capture([y])
      // a larger program in between moves what is not kept
      const wide = device.zeros([64, 4096], 'f32')
      const later = add(add(wide, wide), wide)
      await device.replay(program)
      expect(await device.read(y)).toEqual(new Float32Array([3, 6, 9, 12]))
      await device.run([later])
      for (const values of [
        [5, 6, 7, 8],
        [0, 0, 0, 1],
      ]) {
        device.write(x, values)
        await device.replay(program)
        expect(await device.read(y)).toEqual(new Float32Array(values.map((v) => 3 * v)))
      }
      expect(() => device.write(x, [1])).toThrow('1 values for a f32 tensor [2,2]')
      expect(() => device.write(columns(x, 0, 1), [1, 2])).toThrow(/2 values/)
      device.close()
    },
  )

  it('forgets what was recorded before an error', async () => {
    const device = referenceDevice()
    const x = device.tensor([1, 2], [1, 2], 'f32')
    add(x, x)
    device.discard()
    expect((await device.run([])).steps).toEqual([])
  })

  it('refuses what does not fit, and says what', () => {
    const device = referenceDevice()
    const x = device.tensor([1, 2], [1, 2], 'f32')
    const foreign = referenceDevice().tensor([1, 2], [1, 2], 'f32')
    expect(() => add(x, foreign)).toThrow(/an input lives on reference/)
    expect(() => add(x, device.zeros([1, 3], 'f32'))).toThrow('add: [1,2] and [1,3]')
    expect(() => add(x, device.zeros([1, 2], 'bf16'))).toThrow(/b is bf16, expected f32/)
    expect(() => add(x, device.zeros([2], 'f32'))).toThrow(/2 axes are expected/)
    expect(() => device.fromBytes(new Uint8Array(3), [1], 'f32')).toThrow('3 bytes given for a f32 tensor [1]')
    expect(() => device.weight('linear', [new Uint8Array(3)], [1, 1], 'f32')).toThrow(/3 bytes given/)
    expect(() => columns(x, 1, 1)).toThrow(/columns 1..1/)
    expect(() => embedding({ weight: device.zeros([2, 2], 'i8') }, device.zeros([1], 'i32'))).toThrow(/row scales/)
  })

  it('joins the parts of a weight where the backend does not pack', async () => {
    const device = referenceDevice()
    const part = (...values: number[]) => new Uint8Array(new Float32Array(values).buffer)
    const weight = device.weight('linear', [part(1, 2), part(3, 4, 5, 6)], [3, 2], 'f32')
    const y = linear(device.tensor([1, 10], [1, 2], 'f32'), { weight })
    await device.run([y])
    expect(await device.read(y)).toEqual(new Float32Array([21, 43, 65]))
  })

  it('does not hand unsupported ops to a backend', () => {
    const device: Device = new Device({
      name: 'nothing',
      allocate: (byteLength: number) => ({ byteLength }),
      write: () => {},
      supports: () => false,
    } as unknown as Backend)
    const x = device.zeros([1, 1], 'f32')
    expect(() => add(x, x)).toThrow('device nothing has no op add')
  })

  it('attention sees what kvWrite has stored', async () => {
    const device = referenceDevice()
    const cache = { keys: device.zeros([2, 2, 2], 'f32'), values: device.zeros([2, 2, 2], 'f32') }
    const ints = (...values: number[]) => device.tensor(values, [values.length], 'i32')
    const table = ropeTable(ints(0), device.tensor([1], [1], 'f32'), 1)
    const one = device.tensor([1, 0], [1, 2], 'f32')
    kvWrite(cache, one, device.tensor([5, 7], [1, 2], 'f32'), ints(2))
    const blockTables = device.tensor([1], [1, 1], 'i32')
    const places = { blockTables, sequences: ints(0), positions: ints(0) }
    const y = attention(one, cache, { ...places, numHeads: 1, numKvHeads: 1, scale: 1, window: 0 })
    await device.run([y, table])
    expect(await device.read(y)).toEqual(new Float32Array([5, 7]))
    expect(await device.read(table)).toEqual(new Float32Array([1, 0]))
  })
})

describe('SlipwayError', () => {
  it('is recognised across copies and survives the wire', () => {
    const error = new SlipwayError('overload', 'too many requests', { limit: 3 })
    const copy = SlipwayError.fromWire(structuredClone(SlipwayError.toWire(error)))
    expect(copy).toMatchObject({ kind: 'overload', message: 'too many requests', details: { limit: 3 } })
    expect(SlipwayError.is(copy)).toBe(true)
    expect([SlipwayError.is(new Error('x')), SlipwayError.is(null), SlipwayError.is('x')]).toEqual([
      false,
      false,
      false,
    ])
    expect(SlipwayError.toWire(new Error('plain'))).toEqual({ kind: 'internal', message: 'plain', details: {} })
    expect(SlipwayError.toWire('text')).toEqual({ kind: 'internal', message: 'text', details: {} })
  })
})

const profiled = [referenceDevice, ...(cpuAvailable().available ? [() => cpuDevice({ threads: 2 })] : [])]
test.each(profiled)(
  'an observer is told of every run, with the time of every step, and the result is the same',
  async (open) => {
    const device = open()
    const x = device.tensor(
      Array.from({ length: 64 * 512 }, (_, i) => Math.sin(i)),
      [64, 512],
      'f32',
    )
    const ones = device.tensor(
      Array.from({ length: 512 }, () => 1),
      [512],
      'f32',
    )
    const record = () => add(rmsNorm(x, ones, 1e-6), rmsNorm(x, ones, 1e-6))
    const plain = record()
    await device.run([plain])
    const timed = record()
    const runs: ObservedRun[] = []
    device.observer = { timesSteps: true, onRun: (run) => runs.push(run) }
    const start = performance.now()
    await device.run([timed])
    const took = (performance.now() - start) / 1000
    const again = record()
    const captured = device.capture([again])
    device.observer = { timesSteps: false, onRun: (run) => runs.push(run) }
    await device.replay(captured)
    device.observer = undefined
    await device.replay(captured)
    expect(runs).toHaveLength(2)
    const [{ program, steps, planning, running }, replayed] = runs as [ObservedRun, ObservedRun]
    expect(program.steps.map(({ op }) => op.name)).toEqual(['rmsNorm', 'rmsNorm', 'add'])
    expect([...steps!].every((s) => s > 0)).toBe(true)
    expect(steps!.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(running)
    expect(planning).toBeGreaterThan(0)
    expect(planning + running).toBeLessThanOrEqual(took)
    expect(replayed).toMatchObject({ program: captured, planning: 0, steps: undefined })
    expect(await device.read(timed)).toEqual(await device.read(plain))
    expect(await device.read(again)).toEqual(await device.read(plain))
    device.close()
  },
)

test('parts of a resident tensor are copied out and in as they are stored', async () => {
  const device = referenceDevice()
  const tensor = device.tensor([1, 2, 3, 4, 5, 6], [3, 2], 'f32')
  expect(device.sliceBytes(tensor)).toBe(8)
  const last = await device.readSlice(tensor, 2)
  device.writeSlice(tensor, 0, last)
  expect([...(await device.read(tensor))]).toEqual([5, 6, 3, 4, 5, 6])
  expect(() => device.writeSlice(tensor, 3, last)).toThrow('slice 3')
  expect(() => device.writeSlice(tensor, 0, last.subarray(4))).toThrow('4 bytes')
})
