import { SlipwayError } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { resolveEngineOptions } from './options.ts'
import { diskBytes, memoryBytes } from './sizes.ts'
import { resolveParams, type SamplingParams } from './sampling-params.ts'

const limits = { vocabSize: 100, maxModelLen: 64 }

test('defaults are those of the field', () => {
  expect(resolveParams({}, limits)).toMatchObject({
    temperature: 1,
    topP: 1,
    topK: 0,
    minP: 0,
    n: 1,
    minTokens: 0,
    stop: [],
    skipSpecialTokens: true,
  })
  expect(resolveParams({ stop: 'x' }, limits).stop).toEqual(['x'])
})

describe('refuses, naming the parameter', () => {
  const rows: [string, Record<string, unknown>][] = [
    ['temperature', { temperature: -1 }],
    ['temperature', { temperature: Number.NaN }],
    ['topP', { topP: 1.1 }],
    ['topK', { topK: 1.5 }],
    ['minP', { minP: 2 }],
    ['maxTokens', { maxTokens: 0 }],
    ['n', { n: 0 }],
    ['n', { n: 100000 }],
    ['logprobs', { logprobs: 21 }],
    ['seed', { seed: 0.5 }],
    ['stop', { stop: '' }],
    ['stop', { stop: Array.from({ length: 65 }, (_, i) => `s${i}`) }],
    ['logitBias', { logitBias: { x: 1 } }],
    ['logitBias', { logitBias: { 5: 1000 } }],
    ['logitBias', { logitBias: { 100: 1 } }],
    ['logitBias', { logitBias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) }],
    ['stopTokenIds', { stopTokenIds: [100] }],
    ['minTokens', { minTokens: 9, maxTokens: 8 }],
    ['repetitionPenalty', { repetitionPenalty: 0 }],
    ['typicalP', { typicalP: 1.5 }],
    ['allowedTokenIds', { allowedTokenIds: [] }],
    ['allowedTokenIds', { allowedTokenIds: [100] }],
    ['badWords', { badWords: [''] }],
    ['badWordsTokenIds', { badWordsTokenIds: [[]] }],
    ['badWordsTokenIds', { badWordsTokenIds: [5, [6, 100]] }],
    ['promptLogprobs', { promptLogprobs: 21 }],
    ['bestOf', { bestOf: 2, n: 3 }],
    ['earlyStop', { earlyStop: { windowSize: 0 } }],
    ['beamWidth', { beamWidth: 4 }],
  ]
  test.each(rows)('%s in %o', (name, params) => {
    let caught: unknown
    try {
      resolveParams(params as SamplingParams, limits)
    } catch (error) {
      caught = error
    }
    expect(SlipwayError.is(caught)).toBe(true)
    const { kind, message, details } = caught as SlipwayError
    expect(kind).toBe('request')
    expect(message + String(details['param'])).toContain(name)
  })
})

test('engine options: unknown and impossible ones are named', () => {
  expect(() => resolveEngineOptions({ blockSize: 0 })).toThrow('option blockSize')
  expect(() => resolveEngineOptions({ tensorParallel: 2 } as never)).toThrow('tensorParallel')
  expect(resolveEngineOptions({})).toMatchObject({ blockSize: 64, dtype: 'auto' })
})

test('memory: bytes, units and shares', () => {
  expect(memoryBytes(0.5, 1000)).toBe(500)
  expect(memoryBytes('0.25', 1000)).toBe(250)
  expect(memoryBytes(4096, 1000)).toBe(4096)
  expect(memoryBytes('2GB', 1)).toBe(2e9)
  expect(memoryBytes('1.5 MiB', 1)).toBe(1572864)
  expect(() => memoryBytes('much', 1)).toThrow('neither bytes')
  expect(diskBytes('32GiB', 'packedCacheLimit')).toBe(2 ** 35)
  expect(diskBytes(1000, 'packedCacheLimit')).toBe(1000)
  expect(() => diskBytes('32 boxes', 'packedCacheLimit')).toThrow(
    'option packedCacheLimit: "32 boxes" is not a number of bytes',
  )
})
