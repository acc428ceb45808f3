import { expect, test } from 'vitest'
import { KeyAccount } from './key-account.ts'
import { TokenBucket } from './token-bucket.ts'

test('fills up evenly, and never beyond its size', () => {
  let now = 0
  const bucket = new TokenBucket(60, () => now)
  bucket.use(60)
  expect(bucket.level).toBe(0)
  expect(bucket.secondsUntil(1)).toBe(1)
  now += 1500
  expect(bucket.level).toBeCloseTo(1.5)
  bucket.use(11.5)
  expect(bucket.level).toBeCloseTo(-10)
  expect(bucket.secondsUntil(1)).toBeCloseTo(11)
  now += 1e9
  expect(bucket.level).toBe(60)
})

test('times are written as at OpenAI', () => {
  let now = 0
  const account = new KeyAccount('k', { requestsPerMinute: 60, tokensPerMinute: 60_000 }, () => now)
  const reset = (): string[] => ['requests', 'tokens'].map((what) => account.headers()[`x-ratelimit-reset-${what}`]!)
  account.begin()
  account.charge(120)
  expect(reset()).toEqual(['1s', '120ms'])
  account.charge(120_000)
  expect(reset()).toEqual(['1s', '2m0s'])
  expect(() => account.begin()).toThrow('60000 tokens per minute; try again in 61 s')
  now += 61_000
  account.begin()()
  expect(reset()).toEqual(['1s', '59.12s'])
})
