import { f16ToF32, f32ToF16, fromNumbers, roundTiesToEven, toF32, viewAs, type DType } from '../dtype.ts'

// What every device must make of stored floats, bit by bit; native/round.cc does the same in lanes.

/** Elements in another float type, rounded to nearest even; the same bytes when nothing changes. */
export function convertFloats(bytes: Uint8Array, from: DType, to: DType): Uint8Array {
  if (from === to) return bytes
  const values = toF32(from, alignedView(bytes, from))
  const out = fromNumbers(to, values)
  return new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
}

/** A weight [rows, cols] as the op quantizedLinear takes it: words and f16 scales, both as bytes. */
export interface QuantizedPart {
  readonly words: Uint8Array
  readonly scales: Uint8Array
}

/**
 * Rounds each run of `group` columns of a weight [rows, cols] to `bits` with one scale, symmetric around the middle; the
 * largest magnitude (of two equal ones the positive) takes the side that reaches further (-8 of -8..7), which halves the
 * step's worst case on average. The scale is rounded to f16 before it is used, so that rounding it costs nothing twice;
 * a value is the nearest integer (of two the even one) to the f32 quotient by it. Throws what `notFinite` makes of the row
 * where a value is not finite or a scale would not be.
 */
export function quantizeGroups(
  bytes: Uint8Array,
  dtype: DType,
  rows: number,
  cols: number,
  bits: 4 | 8,
  group: number,
  notFinite: (row: number) => Error = (row) => new RangeError(`row ${row} has no finite scale`),
): QuantizedPart {
  const values = toF32(dtype, alignedView(bytes, dtype))
  const half = 2 ** (bits - 1)
  const perWord = 32 / bits
  const words = new Uint32Array(rows * Math.ceil(cols / perWord))
  const groups = Math.ceil(cols / group)
  const scales = new Uint16Array(rows * groups)
  const wordsPerRow = words.length / rows
  for (let r = 0; r < rows; r++)
    for (let g = 0; g < groups; g++) {
      const run = values.subarray(r * cols + g * group, r * cols + Math.min(cols, (g + 1) * group))
      const stored = f32ToF16(extremeOf(run) / -half)
      const scale = f16ToF32(stored)
      if (!Number.isFinite(scale)) throw notFinite(r)
      scales[r * groups + g] = stored
      for (const [i, value] of run.entries()) {
        const q = scale === 0 ? 0 : roundTiesToEven(Math.fround(value / scale))
        const c = g * group + i
        const word = r * wordsPerRow + Math.floor(c / perWord)
        words[word]! |= (Math.max(-half, Math.min(half - 1, q)) + half) << shiftOf(c % perWord, bits)
      }
    }
  return { words: new Uint8Array(words.buffer), scales: new Uint8Array(scales.buffer) }
}

/** The value of largest magnitude, the positive one of two; NaN when one is not finite. */
function extremeOf(run: Float32Array): number {
  let most = 0
  let least = 0
  for (const value of run) {
    if (!Number.isFinite(value)) return NaN
    if (value > most) most = value
    if (value < least) least = value
  }
  return most >= -least ? most : least
}

/** Where a value lies within its word (see quantizedLinear): bytes in order, or low halves and then high halves. */
function shiftOf(place: number, bits: 4 | 8): number {
  return bits === 8 ? 8 * place : 8 * (place % 4) + (place < 4 ? 0 : 4)
}

/** Bytes may begin anywhere; typed views need their element's alignment. */
function alignedView(bytes: Uint8Array, dtype: DType): ReturnType<typeof viewAs> {
  const size = dtype === 'f32' ? 4 : 2
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  return viewAs(dtype, aligned, bytes.byteLength / size)
}
