import { fromNumbers, toF32, viewAs, type DType } from '@slipway/tensor'

/** Elements in another float type, rounded to nearest even; the same bytes when nothing changes. */
export function convertFloats(bytes: Uint8Array, from: DType, to: DType): Uint8Array {
  if (from === to) return bytes
  const values = toF32(from, alignedView(bytes, from))
  const out = fromNumbers(to, values)
  return new Uint8Array(out.buffer, out.byteOffset, out.byteLength)
}

/**
 * Symmetric int8 with one scale per output row of [rows, cols]: scale = max|w| / 127, q = round(w / scale), half away
 * from zero; a row of zeros has scale 0.
 */
export function quantizePerChannel(
  bytes: Uint8Array,
  dtype: DType,
  rows: number,
  cols: number,
): { bytes: Uint8Array; scales: Float32Array } {
  const values = toF32(dtype, alignedView(bytes, dtype))
  const quantized = new Int8Array(rows * cols)
  const scales = new Float32Array(rows)
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * cols, (r + 1) * cols)
    let max = 0
    for (const w of row) max = Math.max(max, Math.abs(w))
    const scale = Math.fround(max / 127)
    scales[r] = scale
    if (scale === 0) continue
    for (let c = 0; c < cols; c++) {
      const q = row[c]! / scale
      quantized[r * cols + c] = Math.max(-127, Math.min(127, Math.sign(q) * Math.round(Math.abs(q))))
    }
  }
  return { bytes: new Uint8Array(quantized.buffer), scales }
}

/** Tensors in a mapped file start at any byte; typed views need their element's alignment. */
function alignedView(bytes: Uint8Array, dtype: DType): ReturnType<typeof viewAs> {
  const size = dtype === 'f32' ? 4 : 2
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice()
  return viewAs(dtype, aligned, bytes.byteLength / size)
}
