import { describe, expect, it } from 'vitest'
import { referenceDevice } from '../devices/reference.ts'
import { cpuFor, hostTensor, place, runCase, testableIsas } from '../test-harness.ts'
import { uniform } from './exact-math.ts'
import { CaseRandom } from './random.ts'
import { argmax, logprobs } from './logprobs.ts'
import { adjustLogits, drawFrom, limited, sample, sampleOp } from './sample.ts'

const logits = Float64Array.from([2, 1, 0, 0, -1, -3])

/** Shares of tokens over many seeds. */
function sharesOf(temperature: number, topK: number, topP: number, minP: number, draws: number): number[] {
  const counts = logits.map(() => 0)
  for (let i = 0; i < draws; i++)
    counts[drawFrom(limited(logits, temperature, [topK, topP, minP, 1]), uniform([i, 7], i % 13))]!++
  return [...counts]
}

function chiSquare(counts: number[], weights: number[]): number {
  const draws = counts.reduce((a, b) => a + b)
  const total = weights.reduce((a, b) => a + b)
  return counts.reduce((sum, n, i) => {
    const expected = (draws * weights[i]!) / total
    return expected === 0 ? sum + (n === 0 ? 0 : Infinity) : sum + (n - expected) ** 2 / expected
  }, 0)
}

describe('sampling draws from the right distribution', () => {
  const softmax = (temperature: number): number[] => [...logits].map((x) => Math.exp(x / temperature))
  it.each([
    { label: 'plain', params: [1, 0, 1, 0], weights: softmax(1) },
    { label: 'temperature', params: [2, 0, 1, 0], weights: softmax(2) },
    { label: 'topK keeps the lower id of equals', params: [1, 3, 1, 0], weights: [...softmax(1).slice(0, 3), 0, 0, 0] },
    // shares are 0.61, 0.22, 0.08, 0.08, ...: 0.85 is reached by the third
    { label: 'topP', params: [1, 0, 0.85, 0], weights: [...softmax(1).slice(0, 3), 0, 0, 0] },
    { label: 'minP', params: [1, 0, 1, 0.1], weights: [...softmax(1).slice(0, 4), 0, 0] },
  ] as const)('$label', ({ params, weights }) => {
    const [temperature, topK, topP, minP] = params
    // 5 degrees of freedom: 20.5 is exceeded once in a thousand
    expect(chiSquare(sharesOf(temperature, topK, topP, minP, 20000), [...weights])).toBeLessThan(20.5)
  })

  it('one token stays however narrow the limits', () => {
    expect(sharesOf(1, 0, 0, 0, 10)[0]).toBe(10)
    expect(sharesOf(1, 1, 1, 0, 10)[0]).toBe(10)
    expect(sharesOf(1, 0, 1, 2, 10)[0]).toBe(10)
  })
})

describe.skipIf(testableIsas().length === 0)('large vocabularies, equal tokens on reference and cpu', () => {
  const vocabulary = 40000
  const rows = 6
  const random = new CaseRandom(5)
  const seeds = random.integers([rows, 2], 2 ** 32, 'u32')
  const positions = random.integers([rows], 5000, 'u32')
  const spreads = { flat: 0.3, usual: 3, sharp: 40, masked: 2.5 }
  // what a grammar leaves: most blocks of 256 ids empty, one row with a single token
  const isBanned = (i: number): boolean => {
    const [row, id] = [Math.floor(i / vocabulary), i % vocabulary]
    return row === rows - 1 ? id !== 30001 : id % 3001 > 200 * row || id % 7 === row
  }
  const params = {
    topP: [0.8, 0, 0.9, 0, 1],
    topK: [1.2, 5000, 1, 0, 1],
    both: [1, 700, 0.99, 1e-4, 1],
    plain: [1, 0, 1, 0, 1],
    minP: [1.1, 0, 1, 0.01, 1],
    typical: [1, 0, 1, 0, 0.7],
    'typical of the best': [0.9, 3000, 0.97, 0, 0.4],
  }
  for (const [spread, scale] of Object.entries(spreads))
    for (const [name, values] of Object.entries(params))
      it(`${spread} logits, ${name}`, async () => {
        const logits = random.normal([rows, vocabulary], 'f32', scale)
        const data = Float32Array.from(logits.data, (x, i) => (spread === 'masked' && isBanned(i) ? -Infinity : x))
        const inputs = [
          { ...logits, data },
          hostTensor(Array.from({ length: rows }, () => values).flat(), [rows, 5], 'f32'),
          seeds,
          positions,
          undefined,
        ]
        const opCase = { label: '', inputs, attributes: {} }
        const expected = await runCase(referenceDevice(), sampleOp, opCase)
        for (const isa of testableIsas()) {
          const { device } = cpuFor(isa, 2)
          expect(await runCase(device, sampleOp, opCase)).toEqual(expected)
          device.close()
        }
      })
})

it('the recording functions return tensors that hold the results', async () => {
  const device = referenceDevice()
  const x = device.tensor([1, 3, 2, 5, 4, 6], [2, 3], 'f32')
  const ints = (values: number[]) => device.tensor(values, [values.length], 'i32')
  adjustLogits(x, {
    rowStarts: ints([0, 1, 1]),
    tokens: ints([1]),
    counts: ints([0]),
    inPrompt: ints([0]),
    bias: device.tensor([-100], [1], 'f32'),
    penalties: device.tensor([1, 0, 0, 1, 0, 0], [2, 3], 'f32'),
  })
  const best = argmax(x)
  const params = device.tensor([0, 0, 1, 0, 1, 0, 0, 1, 0, 1], [2, 5], 'f32')
  const drawn = sample(x, params, device.zeros([2, 2], 'u32'), device.zeros([2], 'u32'))
  const { values, ids, ranks } = logprobs(x, drawn, 2)
  await device.run([best, drawn, values, ids, ranks])
  expect(await device.read(best)).toEqual(new Int32Array([2, 2]))
  expect(await device.read(drawn)).toEqual(new Int32Array([2, 2]))
  expect(await device.read(ids)).toEqual(new Int32Array([2, 2, 0, 2, 2, 0]))
  expect(await device.read(ranks)).toEqual(new Int32Array([1, 1]))
  expect((await device.read(values))[0]).toBeCloseTo(-Math.log(1 + Math.exp(-1)), 5)
  expect(place(device, hostTensor([1], [1], 'f32')).layout).toBe('row')
})
