/** Element types. `bf16` and `f16` are stored as raw 16-bit patterns in a Uint16Array. */
export const dtypes = ['f32', 'bf16', 'f16', 'i32', 'u32', 'i8', 'u8'] as const
export type DType = (typeof dtypes)[number]

export type TypedArray =
  | Float32Array<ArrayBufferLike>
  | Uint16Array<ArrayBufferLike>
  | Int32Array<ArrayBufferLike>
  | Uint32Array<ArrayBufferLike>
  | Int8Array<ArrayBufferLike>
  | Uint8Array<ArrayBufferLike>

const arrays = {
  f32: Float32Array,
  bf16: Uint16Array,
  f16: Uint16Array,
  i32: Int32Array,
  u32: Uint32Array,
  i8: Int8Array,
  u8: Uint8Array,
} as const

/** Size of one element in bytes. */
export function bytesOf(dtype: DType): number {
  return arrays[dtype].BYTES_PER_ELEMENT
}

/** A typed view of `length` elements over `bytes`, without a copy; the start must be aligned to the element. */
export function viewAs(dtype: DType, bytes: Uint8Array, length: number): TypedArray {
  // the constructors also take shared memory; their types in lib.d.ts say so only for one of the two
  return new arrays[dtype](bytes.buffer as ArrayBuffer, bytes.byteOffset, length)
}

// one word seen as bits and as a number
const bitsOf = new Uint32Array(1)
const valueOf = new Float32Array(bitsOf.buffer)

export function bf16ToF32(bits: number): number {
  bitsOf[0] = bits << 16
  return valueOf[0]!
}

/** Rounds to nearest, ties to even; NaN stays NaN. */
export function f32ToBf16(value: number): number {
  valueOf[0] = value
  const bits = bitsOf[0]!
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

export function f16ToF32(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const mantissa = bits & 1023
  if (exponent === 0) return sign * mantissa * 2 ** -24
  if (exponent === 31) return mantissa ? NaN : sign * Infinity
  return sign * (1024 + mantissa) * 2 ** (exponent - 25)
}

/** Rounds to nearest, ties to even; overflow gives infinity (IEEE 754 binary16). */
export function f32ToF16(value: number): number {
  const x = Math.fround(value)
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0
  const magnitude = Math.abs(x)
  if (Number.isNaN(x)) return 0x7e00
  if (magnitude >= 65520) return sign | 0x7c00
  const exponent = Math.max(-14, Math.floor(Math.log2(magnitude || 2 ** -25)))
  const scaled = roundTiesToEven(magnitude * 2 ** (10 - exponent))
  // a carry out of the mantissa moves into the exponent by itself
  return sign | (exponent === -14 ? scaled : ((exponent + 14) << 10) + scaled)
}

/** The nearest integer; of two equally near ones the even one (IEEE 754's default). */
export function roundTiesToEven(x: number): number {
  const floor = Math.floor(x)
  if (x - floor !== 0.5) return Math.round(x)
  return floor % 2 === 0 ? floor : floor + 1
}

const decoders: Partial<Record<DType, (bits: number) => number>> = { bf16: bf16ToF32, f16: f16ToF32 }
const encoders: Partial<Record<DType, (value: number) => number>> = { bf16: f32ToBf16, f16: f32ToF16 }

// filled when first needed; reading a table takes a quarter of the time of `decode`
const tables = new Map<DType, Float32Array>()

/** The number that each 16-bit pattern stands for; undefined where the array element is the number. */
export function decodingTable(dtype: DType): Float32Array | undefined {
  const decode = decoders[dtype]
  if (!decode) return undefined
  const table = tables.get(dtype) ?? Float32Array.from({ length: 1 << 16 }, (_, bits) => decode(bits))
  tables.set(dtype, table)
  return table
}

/** How a number is stored; undefined where the typed array itself rounds. */
export function encoder(dtype: DType): ((value: number) => number) | undefined {
  return encoders[dtype]
}

/** Values of any dtype as f32. */
export function toF32(dtype: DType, values: TypedArray): Float32Array {
  const table = decodingTable(dtype)
  const out = new Float32Array(values.length)
  if (!table) out.set(values)
  else for (let i = 0; i < values.length; i++) out[i] = table[values[i]!]!
  return out
}

/** Numbers as stored elements of `dtype`, rounded to nearest even for the 16-bit floats. */
export function fromNumbers(dtype: DType, values: ArrayLike<number>): TypedArray {
  const encode = encoders[dtype]
  const out = new arrays[dtype](values.length)
  if (!encode) out.set(values)
  else for (let i = 0; i < values.length; i++) out[i] = encode(values[i]!)
  return out
}
