import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { referenceDevice } from '../devices/reference.ts'
import { philox } from './exact-math.ts'
import { adjustLogits, limited } from './sample.ts'

// Sampling against transformers' logits processors and known Philox answers (tools/goldens/sampling.py).

interface Golden {
  readonly prompt: readonly number[]
  readonly output: readonly number[]
  readonly rows: Readonly<Record<string, readonly (number | null)[]>>
  readonly cases: readonly {
    readonly name: string
    readonly row: string
    readonly params: Readonly<Record<string, number>> & { readonly logitBias?: Readonly<Record<string, number>> }
    readonly kept: readonly number[]
    readonly logits: readonly (number | null)[]
    readonly probs: readonly number[]
  }[]
  readonly philox4x32: readonly {
    readonly counter: readonly number[]
    readonly key: readonly [number, number]
    readonly output: readonly number[]
  }[]
}

const golden = JSON.parse(readFileSync(new URL('../../fixtures/sampling.json', import.meta.url), 'utf8')) as Golden

const numbers = (row: readonly (number | null)[]): number[] => row.map((x) => x ?? -Infinity)

async function adjusted(row: readonly number[], params: Golden['cases'][number]['params']): Promise<Float64Array> {
  const device = referenceDevice()
  const tokens = row.map((_, id) => id)
  const ints = (values: readonly number[]) => device.tensor(values, [values.length], 'i32')
  const logits = device.tensor(row, [1, row.length], 'f32')
  adjustLogits(logits, {
    rowStarts: ints([0, row.length]),
    tokens: ints(tokens),
    counts: ints(tokens.map((id) => golden.output.filter((x) => x === id).length)),
    inPrompt: ints(tokens.map((id) => (golden.prompt.includes(id) ? 1 : 0))),
    bias: device.tensor(
      tokens.map((id) => params.logitBias?.[id] ?? 0),
      [row.length],
      'f32',
    ),
    penalties: device.tensor(
      [params['repetitionPenalty'] ?? 1, params['frequencyPenalty'] ?? 0, params['presencePenalty'] ?? 0],
      [1, 3],
      'f32',
    ),
  })
  await device.run([])
  return Float64Array.from(await device.read(logits))
}

describe('the distribution that is drawn from', () => {
  test.each(golden.cases)('$name', async ({ row, params, kept, probs }) => {
    const logits = await adjusted(numbers(golden.rows[row]!), params)
    const { temperature = 1, topK = 0, topP = 1, minP = 0, typicalP = 1 } = params as Partial<Record<string, number>>
    // temperature 0 is the limit of small ones: everything on the best, the lowest id of equals
    const found =
      temperature === 0 ? limited(logits, 1, [1, 1, 0, 1]) : limited(logits, temperature, [topK, topP, minP, typicalP])
    const possible = found.filter(({ weight }) => weight > 0)
    expect(possible.map(({ id }) => id).sort((a, b) => a - b)).toEqual(kept)
    const total = possible.reduce((sum, { weight }) => sum + weight, 0)
    for (const { id, weight } of possible) expect(weight / total).toBeCloseTo(probs[id]!, 6)
  })
})

test.each(golden.philox4x32)('philox of $counter under $key', ({ counter, key, output }) => {
  expect(philox(counter, key)).toEqual(output)
})
