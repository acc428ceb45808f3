import { describe, expect, it } from 'vitest'
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16, fromNumbers, toF32, viewAs } from './dtype.ts'
import { CaseRandom } from './ops/random.ts'

const patterns = Array.from({ length: 65536 }, (_, bits) => bits)

/** The nearest of two neighbouring patterns, the even one of equals. */
function nearest(value: number, low: number, high: number, decode: (bits: number) => number): number {
  const [below, above] = [value - decode(low), decode(high) - value]
  if (below === above) return low % 2 === 0 ? low : high
  return below < above ? low : high
}

describe.each([
  { name: 'bf16', decode: bf16ToF32, encode: f32ToBf16, infinity: 0x7f80 },
  { name: 'f16', decode: f16ToF32, encode: f32ToF16, infinity: 0x7c00 },
])('$name', ({ decode, encode, infinity }) => {
  it('keeps every pattern through a round trip', () => {
    for (const bits of patterns) {
      const value = decode(bits)
      if (Number.isNaN(value)) expect(decode(encode(value))).toBeNaN()
      else if (encode(value) !== bits) expect.fail(`${bits} became ${encode(value)}`)
    }
  })

  it('decodes to f32 values in rising order', () => {
    for (let bits = 1; bits <= infinity; bits++)
      if (!(decode(bits) > decode(bits - 1) && Math.fround(decode(bits)) === decode(bits))) expect.fail(`${bits}`)
  })

  it('rounds to nearest, ties to even', () => {
    const random = new CaseRandom(1)
    for (let i = 0; i < 50000; i++) {
      const low = Math.floor(random.next() * (infinity - 1))
      const [a, b] = [decode(low), decode(low + 1)]
      for (const share of [0.5, random.next()]) {
        const value = Math.fround(a + (b - a) * share)
        if (encode(value) !== nearest(value, low, low + 1, decode)) expect.fail(`${value} became ${encode(value)}`)
        if (encode(-value) !== (encode(value) | 0x8000)) expect.fail(`-${value} became ${encode(-value)}`)
      }
    }
  })

  it('overflows to infinity and keeps signs', () => {
    expect([Infinity, -Infinity, 3.4e38, -0].map(encode)).toEqual([infinity, infinity | 0x8000, infinity, 0x8000])
  })
})

it('f16 has its largest value, its halfway point and its subnormals', () => {
  expect([65504, 65519.996, 65520, 2 ** -24, 2 ** -25, 2 ** -25 * 1.01].map(f32ToF16)).toEqual([
    0x7bff, 0x7bff, 0x7c00, 1, 0, 1,
  ])
})

it('numbers become stored elements and come back', () => {
  expect([...toF32('bf16', fromNumbers('bf16', [1, -2.5, 0.1]))]).toEqual([1, -2.5, 0.10009765625])
  expect([...toF32('i8', fromNumbers('i8', [-128, 127]))]).toEqual([-128, 127])
  expect(viewAs('f16', new Uint8Array(new Uint16Array([0x3c00, 0x4000]).buffer), 2)).toEqual(
    new Uint16Array([0x3c00, 0x4000]),
  )
})
