import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../device.ts'
import { attention } from '../ops/attention.ts'
import { kvBytesPerToken, kvCache, kvDtypes, kvWrite, type KvCache, type KvDtype } from '../ops/kv-cache.ts'
import { CaseRandom } from '../ops/random.ts'
import { rmsNorm } from '../ops/rms-norm.ts'
import { ropeWrite } from '../ops/rope-write.ts'
import { rope } from '../ops/rope.ts'
import { byteLengthOf, columns, type Tensor } from '../tensor.ts'
import { cpuFor, equalBits, place, testableIsas, type Results } from '../test-harness.ts'
import { referenceDevice } from './reference.ts'

const isas = testableIsas()
const [heads, numKvHeads, headDim] = [6, 2, 32] as const

const readCache = (device: Device, { keys, values, scales }: KvCache): Promise<Results> =>
  Promise.all([keys, values, scales?.keys, scales?.values].flatMap((t) => (t ? [device.read(t)] : [])))

describe.each(isas)('a cache on %s', (isa) => {
  let devices: Device[] = []
  beforeAll(() => {
    devices = [1, 2, 3].map((threads) => cpuFor(isa, threads).device)
  })
  afterAll(() => {
    for (const device of devices) device.close()
  })

  describe.each(kvDtypes)('%s', (dtype) => {
    it.each([
      [16, true],
      [32, false],
      [5, true],
    ])('ropeWrite has the bits of separate ops: blocks of %i, norms %s', async (blockSize, normed) => {
      const rows = 37
      const results: Results[] = []
      for (const device of devices) {
        const random = new CaseRandom(3)
        const qkv = place(device, random.normal([rows, (heads + 2 * numKvHeads) * headDim]))
        const angles = place(device, random.normal([rows, 24]))
        const norms = [0, 1].map(() => (normed ? place(device, random.normal([headDim])) : undefined))
        const slots = device.tensor(
          Array.from({ length: rows }, (_, r) => (r === 4 ? -1 : (r * 7 + 2) % 90)),
          [rows],
          'i32',
        )
        const shape = { numBlocks: Math.ceil(90 / blockSize), blockSize, numKvHeads, headDim }
        const [one, two] = [kvCache(device, shape, dtype), kvCache(device, shape, dtype)]
        expect(one.keys.layout).toBe(blockSize % 16 ? 'row' : 'keyTiles')

        const options = { headDim, qNorm: norms[0], kNorm: norms[1], eps: 1e-6 }
        const q = ropeWrite(qkv, angles, one, slots, options)
        const [qEnd, kEnd] = [heads * headDim, (heads + numKvHeads) * headDim]
        const turned = (x: Tensor, norm: Tensor | undefined): Tensor =>
          rope(norm ? rmsNorm(x, norm, 1e-6) : x, angles, headDim)
        const apart = turned(columns(qkv, 0, qEnd), norms[0])
        const k = turned(columns(qkv, qEnd, kEnd), norms[1])
        kvWrite(two, k, columns(qkv, kEnd, kEnd + numKvHeads * headDim), slots)
        await device.run([q, apart])
        results.push([await device.read(q), ...(await readCache(device, one))])
        results.push([await device.read(apart), ...(await readCache(device, two))])
      }
      for (const other of results.slice(1)) expect(equalBits(other, results[0]!)).toBe(true)
    })

    it('slots that were never written may hold anything', async () => {
      const device = devices[1]!
      const positions = Array.from({ length: 41 }, (_, i) => 250 + i)
      const outputs: Results[] = []
      for (const stale of [0, NaN]) {
        const cache = await filled(device, dtype, 291, stale)
        const random = new CaseRandom(5)
        const q = place(device, random.normal([41, heads * headDim]))
        const ints = (values: number[], shape = [values.length]): Tensor => device.tensor(values, shape, 'i32')
        const results = [0, 30].map((window) =>
          attention(q, cache, {
            blockTables: ints([...Array(10).keys()], [1, 10]),
            sequences: ints(positions.map(() => 0)),
            positions: ints(positions),
            numHeads: heads,
            numKvHeads,
            scale: 0.2,
            window,
          }),
        )
        await device.run(results)
        outputs.push(await Promise.all(results.map((t) => device.read(t))))
      }
      expect(equalBits(outputs[1]!, outputs[0]!)).toBe(true)
      expect((outputs[0]![0] as Float32Array).every(Number.isFinite)).toBe(true)
    })
  })
})

/** Ten blocks of 32 with `count` written slots; the others hold what comes of `stale`. */
async function filled(device: Device, dtype: KvDtype, count: number, stale: number): Promise<KvCache> {
  const cache = kvCache(device, { numBlocks: 10, blockSize: 32, numKvHeads, headDim }, dtype)
  const random = new CaseRandom(4)
  const slots = device.tensor([...Array(320).keys()], [320], 'i32')
  const rows = [0, 1].map(() => {
    const data = (random.normal([320, numKvHeads * headDim]).data as Float32Array).fill(
      stale,
      count * numKvHeads * headDim,
    )
    return device.tensor(data, [320, numKvHeads * headDim], 'f32')
  })
  kvWrite(cache, rows[0]!, rows[1]!, slots)
  await device.run([])
  return cache
}

it('the size of a token is that of the tensors', () => {
  for (const dtype of kvDtypes) {
    const { keys, values, scales } = kvCache(
      referenceDevice(),
      { numBlocks: 2, blockSize: 4, numKvHeads, headDim },
      dtype,
    )
    const tensors = [keys, values, scales?.keys, scales?.values].flatMap((t) => t ?? [])
    const bytes = tensors.reduce((sum, t) => sum + byteLengthOf(t), 0)
    expect(kvBytesPerToken(numKvHeads, headDim, dtype)).toBe(bytes / 8)
  }
})
