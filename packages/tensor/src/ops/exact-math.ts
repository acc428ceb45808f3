/**
 * Arithmetic that must give equal bits in TypeScript and in C++ (native/sample.cc repeats it line by line), so that a
 * sampled token does not depend on the device: f64 operations in a fixed order, no library function.
 */

const log2e = Math.LOG2E
// ln 2 in two parts; the high part has 32 trailing zero bits, so n * ln2High is exact
const ln2High = 6.9314718036912381649e-1
const ln2Low = 1.90821492927058770002e-10

const powersOfTwo = Float64Array.from({ length: 1025 }, () => 1)
for (let n = 1; n <= 1024; n++) powersOfTwo[n] = powersOfTwo[n - 1]! / 2

/** e^x for x <= 0, relative error below 1e-15; 0 below -700. */
export function expNegative(x: number): number {
  if (!(x > -700)) return 0
  const n = Math.floor(-x * log2e + 0.5)
  const r = x + n * ln2High + n * ln2Low
  // Taylor's series in short chains, since a processor can do many products at once
  const r2 = r * r
  const r4 = r2 * r2
  const r8 = r4 * r4
  const a = 1 + r + (1 / 2 + (1 / 6) * r) * r2
  const b = 1 / 24 + (1 / 120) * r + (1 / 720 + (1 / 5040) * r) * r2
  const c = 1 / 40320 + (1 / 362880) * r + (1 / 3628800 + (1 / 39916800) * r) * r2
  const d = 1 / 479001600 + (1 / 6227020800) * r
  const sum = a + b * r4 + (c + d * r4) * r8
  return sum * powersOfTwo[n]!
}

function multiplyHigh(a: number, b: number): number {
  return Number((BigInt(a) * BigInt(b)) >> 32n)
}

/** Philox4x32-10 (Salmon et al. 2011): four random words for a 128-bit counter and a 64-bit key. */
export function philox(counter: readonly number[], key: readonly [number, number]): number[] {
  let [c0, c1, c2, c3] = counter as [number, number, number, number]
  let [k0, k1] = key
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0)
    const high1 = multiplyHigh(0xcd9e8d57, c2)
    const low0 = Math.imul(0xd2511f53, c0) >>> 0
    const low1 = Math.imul(0xcd9e8d57, c2) >>> 0
    c0 = (high1 ^ c1 ^ k0) >>> 0
    c1 = low1
    c2 = (high0 ^ c3 ^ k1) >>> 0
    c3 = low0
    k0 = (k0 + 0x9e3779b9) >>> 0
    k1 = (k1 + 0xbb67ae85) >>> 0
  }
  return [c0, c1, c2, c3]
}

/** Uniform in [0, 1) with 53 bits, a pure function of seed (two words) and position. */
export function uniform(seed: readonly [number, number], position: number): number {
  const [a, b] = philox([position, 0, 0, 0], seed) as [number, number]
  return ((a >>> 5) * 67108864 + (b >>> 6)) / 9007199254740992
}
