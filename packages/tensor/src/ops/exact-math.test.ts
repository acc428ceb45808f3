import { expect, it } from 'vitest'
import { expNegative, philox, uniform } from './exact-math.ts'

const hex = (words: number[]): string => words.map((word) => word.toString(16).padStart(8, '0')).join(' ')

it('philox gives the vectors of its authors', () => {
  const ones = 0xffffffff
  expect(hex(philox([0, 0, 0, 0], [0, 0]))).toBe('6627e8d5 e169c58d bc57ac4c 9b00dbd8')
  expect(hex(philox([ones, ones, ones, ones], [ones, ones]))).toBe('408f276d 41c83b0e a20bc7c6 6d5451fd')
  expect(hex(philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]))).toBe(
    'd16cfe09 94fdcceb 5001e420 24126ea1',
  )
})

it('uniform is even over [0, 1) and differs by seed and position', () => {
  const counts = new Float64Array(16)
  const seen = new Set<number>()
  for (let seed = 0; seed < 100; seed++)
    for (let position = 0; position < 160; position++) {
      const draw = uniform([seed, 0], position)
      counts[Math.floor(draw * 16)]!++
      seen.add(draw)
    }
  expect(seen.size).toBe(16000)
  // 15 degrees of freedom: 37.7 is exceeded once in a thousand
  expect(counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(37.7)
})

it('expNegative agrees with Math.exp to 1e-15', () => {
  for (let x = 0; x > -700; x -= 0.0137) {
    const error = Math.abs(expNegative(x) / Math.exp(x) - 1)
    if (error > 1e-15) expect.fail(`e^${x} is off by ${error}`)
  }
  expect([expNegative(0), expNegative(-700), expNegative(-Infinity), expNegative(NaN)]).toEqual([1, 0, 0, 0])
})
