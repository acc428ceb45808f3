import { f16ToF32, f32ToF16, fromNumbers, toF32, viewAs, type DType } from '@slipway/tensor'

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
 * largest magnitude takes the side that reaches further (-8 of -8..7), which halves the step's worst case on average.
 * The scale is rounded to f16 before it is used, so that rounding it costs nothing twice.
 */
export function quantizeGroups(
  bytes: Uint8Array,
  dtype: DType,
  rows: number,
  cols: number,
  bits: 4 | 8,
  group: number,
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
      const start = g * group
      const end = Math.min(cols, start + group)
      let extreme = 0
      for (let c = start; c < end; c++) {
        const w = values[r * cols + c]!
        if (Math.abs(w) > Math.abs(extreme)) extreme = w
      }
      const stored = f32ToF16(extreme / -half)
      const scale = f16ToF32(stored)
      scales[r * groups + g] = stored
      for (let c = start; c < end; c++) {
        const q =
          scale === 0 ? half : Math.max(0, Math.min(2 * half - 1, Math.round(values[r * cols + c]! / scale) + half))
        words[r * wordsPerRow + Math.floor(c / perWord)]! |= q << shiftOf(c % perWord, bits)
      }
    }
  return { words: new Uint8Array(words.buffer), scales: new Uint8Array(scales.buffer) }
}

/** Where a value lies within its word (see quantizedLinear): bytes in order, or low halves and then high halves. */
function shiftOf(place: number, bits: 4 | 8): number {
  return bits === 8 ? 8 * place : 8 * (place % 4) + (place < 4 ? 0 : 4)
}

/** Tensors in a mapped file start at any byte; typed views need their element's alignment. */
function alignedView(bytes: Uint8Array, dtype: DType): ReturnType<typeof viewAs> {
  const size = dtype === 'f32' ? 4 : 2
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  return viewAs(dtype, aligned, bytes.byteLength / size)
}
