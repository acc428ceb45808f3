import { describe, expect, it } from 'vitest'
import { cpuFor, testableIsas } from '../test-harness.ts'
import { referenceDevice } from './reference.ts'

const [isa] = testableIsas()
const mebibytes = 200

describe.runIf(isa)('memory that is given back', () => {
  it('is gone from the process at once, and good to use again', async () => {
    const { device } = cpuFor(isa!, 1)
    const tensor = device.zeros([mebibytes, 2 ** 20], 'i8')
    const ones = new Int8Array(2 ** 20).fill(1)
    const rss = (): number => process.memoryUsage.rss() / 2 ** 20
    for (let use = 0; use < 2; use++) {
      const before = rss()
      for (let i = 0; i < mebibytes; i++) device.writeSlice(tensor, i, new Uint8Array(ones.buffer))
      const full = rss()
      expect(full - before).toBeGreaterThan(0.9 * mebibytes)
      device.release(tensor)
      expect(full - rss()).toBeGreaterThan(0.9 * mebibytes)
      // one page is read, so only that one comes back
      expect(new Set(await device.readSlice(tensor, 7))).toEqual(new Set([0]))
    }
    device.close()
  })

  it('stays where the heap holds it', async () => {
    const { device } = cpuFor(isa!, 1)
    const small = device.tensor([1, 2, 3], [3], 'i32')
    device.release(small)
    expect([...(await device.read(small))]).toEqual([1, 2, 3])
    device.trim()
    device.close()
  })
})

it('a device that cannot give memory back keeps it as it is', async () => {
  const device = referenceDevice()
  const tensor = device.tensor([1, 2, 3], [3], 'i32')
  device.release(tensor)
  device.trim()
  expect([...(await device.read(tensor))]).toEqual([1, 2, 3])
})
