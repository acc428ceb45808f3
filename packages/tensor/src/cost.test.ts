import { describe, expect, test } from 'vitest'
import { costsOf } from './cost.ts'
import { nullDevice } from './devices/null.ts'
import { attention } from './ops/attention.ts'
import { add } from './ops/elementwise.ts'

const [numHeads, numKvHeads, headDim, blockSize] = [4, 2, 8, 16]

/** Attention over tables of 4 blocks, 64 tokens for each of two sequences; positions as given. */
async function costOfRows(rows: readonly (readonly [sequence: number, position: number])[], window = 0) {
  const { device } = nullDevice()
  const cache = () => device.zeros([8, blockSize, numKvHeads * headDim], 'bf16')
  const ints = (values: readonly number[], shape = [values.length]) => device.tensor(values, shape, 'i32')
  const q = device.zeros([rows.length, numHeads * headDim], 'f32')
  const out = attention(
    q,
    { keys: cache(), values: cache() },
    {
      blockTables: ints([0, 1, 2, 3, 4, 5, 6, 7], [2, 4]),
      sequences: ints(rows.map(([sequence]) => sequence)),
      positions: ints(rows.map(([, position]) => position)),
      numHeads,
      numKvHeads,
      scale: 1,
      window,
    },
  )
  const [cost] = await costsOf(await device.run([out]))
  return cost
}

const perPair = 4 * numHeads * headDim
const perKey = 2 * numKvHeads * headDim * 2
const perRow = 8 * numHeads * headDim

describe('attention costs the keys that are there', () => {
  test('decode: each sequence up to its position', async () => {
    const cost = await costOfRows([
      [0, 9],
      [1, 40],
    ])
    expect(cost).toEqual({ flops: 51 * perPair, bytes: 51 * perKey + 2 * perRow })
  })

  test('prefill: a triangle of work, every key once', async () => {
    const cost = await costOfRows([
      [1, 2],
      [1, 3],
      [1, 4],
    ])
    expect(cost).toEqual({ flops: (3 + 4 + 5) * perPair, bytes: 5 * perKey + 3 * perRow })
  })

  test('a window: only what it shows', async () => {
    const cost = await costOfRows(
      [
        [0, 30],
        [0, 31],
      ],
      8,
    )
    expect(cost).toEqual({ flops: 16 * perPair, bytes: 9 * perKey + 2 * perRow })
  })
})

test('without values the bound of the shapes counts', async () => {
  const { device } = nullDevice()
  const x = device.zeros([3, 5], 'f32')
  const program = await device.run([add(x, x)])
  expect(await costsOf(program)).toEqual([program.steps[0]!.op.cost([x, x], [x], {})])
})
