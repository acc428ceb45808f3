import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ModelProfile } from '@slipway/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ratesOf, type CaseRates } from './bench-rates.ts'
import { start } from './testing/spawn.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-bench-'))
})
afterAll(() => rm(folder, { recursive: true }))

async function bench<T>(...args: string[]): Promise<{ out: string; result: T }> {
  const file = join(folder, `${args.join(' ').replaceAll(/\W/g, '-')}.json`)
  const { code, out, err } = await start(['bench', ...args, '--json', file]).ended
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return { out, result: JSON.parse(await readFile(file, 'utf8')) as T }
}

describe('rates', () => {
  test('follow from the times of arrival', () => {
    const shape = { prompt: 100, tokens: 5, sequences: 2 }
    const rates = ratesOf(shape, [
      [100, 110, 120, 130, 140],
      [125, 135, 145, 155, 165],
    ])
    // both decode from 125 to 140: 130, 140 and 135
    expect(rates.decode).toBeCloseTo((1000 * 3) / 15)
    expect(rates).toMatchObject({ prefill: (1000 * 200) / 125, timeToFirstToken: 112.5, timePerOutputToken: 10 })
  })

  test('of sequences that never decode together have no decode', () => {
    const rates = ratesOf({ prompt: 8, tokens: 2, sequences: 2 }, [
      [10, 20],
      [30, 40],
    ])
    expect(rates.decode).toBeNull()
    expect(rates.timePerOutputToken).toBe(10)
  })

  test('of the built-in model, case by case', async () => {
    const args = ['--prompt', '8,24', '--batch', '1,2', '--tokens', '6', '--rounds', '2', '--quantization', 'wint8']
    const { out, result } = await bench<{ cases: CaseRates[]; quantization: string }>(...args)
    expect(result.quantization).toBe('wint8')
    expect(result.cases.map(({ prompt, sequences }) => [prompt, sequences])).toEqual([
      [8, 1],
      [8, 2],
      [24, 1],
      [24, 2],
    ])
    for (const one of result.cases) {
      expect(one.rounds).toHaveLength(2)
      // by definition: one prompt's tokens in the time to its first one
      if (one.sequences === 1) {
        for (const round of one.rounds) {
          expect(round.prefill).toBeCloseTo((1000 * one.prompt) / round.timeToFirstToken, 6)
          expect(round.decode).toBeCloseTo(1000 / round.timePerOutputToken, 6)
        }
      }
      expect(Math.min(one.prefill, one.decode!, one.timeToFirstToken, one.timePerOutputToken)).toBeGreaterThan(0)
    }
    expect(out).toMatch(/wint8, medians of 2 rounds/)
    expect(
      out
        .trim()
        .split('\n')
        .slice(-4)
        .map((line) => line.trim().split(/\s+/).slice(0, 2).join(' ')),
    ).toEqual(['8 1', '8 2', '24 1', '24 2'])
  })

  test('that a window too short hides are shown as missing', async () => {
    // the second prompt waits until the first answer has ended
    const args = ['--prompt', '32', '--batch', '2', '--tokens', '2', '--rounds', '1', '--max-num-batched-tokens', '16']
    const { out, result } = await bench<{ cases: CaseRates[] }>(...args)
    expect(result.cases[0]!.decode).toBeNull()
    expect(out).toMatch(/raise --tokens/)
  })
})

describe('profile', () => {
  test('names all ops, adds up to the step and stays below the ceilings', async () => {
    const shape = ['--rows', '3', '--sequences', '2', '--context', '40']
    const { out, result } = await bench<ModelProfile>('--profile', ...shape, '--rounds', '1')
    const names = new Set(result.ops.map(({ op }) => op))
    for (const name of ['embedding', 'linear', 'ropeWrite', 'attention', 'sample']) expect(names).toContain(name)
    for (const { op, shapes } of result.ops) expect(out).toContain(`${op} ${shapes}`)
    // what the model must do at least: two operations for every weight that all six rows meet
    const flops = result.ops.filter(({ op }) => op === 'linear').reduce((sum, one) => sum + one.flops, 0)
    const layer = 192 * (192 + 2 * 96) + 192 * 192 + 3 * 192 * 576
    // the last layer goes on with two rows after its keys and values
    expect(flops).toBeGreaterThan(2 * 6 * 3 * layer + 2 * 2 * 192 * 4096)
    expect(flops).toBeLessThanOrEqual(2 * 6 * 4 * layer + 2 * 2 * 192 * 4096)
    const shares = Array.from(out.matchAll(/(-?\d+\.\d) %/g), ([, share]) => Number(share))
    // those of the ops, then that of everything outside, then its parts
    const [numOps, numParts] = [result.ops.length, Object.keys(result.outside).length]
    expect(shares).toHaveLength(numOps + 1 + numParts)
    const total = (list: readonly number[]): number => list.reduce((sum, share) => sum + share, 0)
    expect(Math.abs(total(shares.slice(0, numOps + 1)) - 100)).toBeLessThan(0.06 * (numOps + 1))
    expect(Math.abs(total(shares.slice(-numParts)) - shares[numOps]!)).toBeLessThan(0.06 * (numParts + 1))
    const seconds = [...result.ops.map((one) => one.seconds), ...Object.values(result.outside)]
    expect(total(seconds)).toBeCloseTo(result.step, 9)
    if (result.speed) expect(out).toContain('the machine reads')
  })
})

describe('flags of the other way of measuring are refused', () => {
  test.each([
    [['--context', '5'], '--context: it belongs to --profile'],
    [['--profile', '--batch', '2'], '--batch: a profile has no use for it'],
    [['--profile', '--kv-cache-memory', '1GB'], '--kv-cache-memory: a profile has no use for it'],
    [['--batch', '8', '--max-num-seqs', '4'], 'maxNumSeqs: 4 is below --batch 8'],
    [['--prompt', '4000'], 'maxModelLen'],
    [['--prompt', '40', '--max-model-len', '64'], 'a prompt of 40 and 64 new tokens are more than the 64'],
    [['--prompt', '100', '--batch', '8', '--kv-cache-memory', '1MB'], 'raise --kv-cache-memory or lower --batch'],
    [['--tokens', '1'], 'It must be a whole number from 2 on'],
    [['--prompt', '8,x'], 'It must be a whole number from 1 on'],
  ])('%j', async (args, message) => {
    const { code, err } = await start(['bench', ...args]).ended
    expect(code).toBe(1)
    expect(err).toContain(message)
    expect(err).not.toMatch(/\n\s+at /)
  })
})
