import { SlipwayError, bytesOf, dtypes } from '@slipway/tensor'
import type { DType } from '@slipway/tensor'
import { isObject, messageOf, show } from './json-file.ts'

/** Where one tensor lies in its file. */
export interface TensorInfo {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly byteLength: number
}

/** A tensor whose element type the format knows and we do not; it is an error only when somebody reads it. */
export interface ForeignTensor {
  readonly name: string
  /** As written in the file, such as `F8_E4M3`. */
  readonly storedDtype: string
  readonly shape: readonly number[]
  readonly byteLength: number
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly foreign: ReadonlyMap<string, ForeignTensor>
}

/** Names of our dtypes in the format, in the format's own order, which decides the order of tensors in a file. */
export const storedNames: readonly (readonly [string, DType])[] = [
  ['U8', 'u8'],
  ['I8', 'i8'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['I32', 'i32'],
  ['U32', 'u32'],
  ['F32', 'f32'],
]

const readable: ReadonlyMap<string, DType> = new Map(storedNames)

/** Bits of an element of the types that the format has and we do not read (safetensors 0.8, `Dtype`). */
const foreignBits: ReadonlyMap<string, number> = new Map([
  ['BOOL', 8],
  ['F4', 4],
  ['F6_E2M3', 6],
  ['F6_E3M2', 6],
  ['F8_E5M2', 8],
  ['F8_E4M3', 8],
  ['F8_E8M0', 8],
  ['F8_E4M3FNUZ', 8],
  ['F8_E5M2FNUZ', 8],
  ['I16', 16],
  ['U16', 16],
  ['F64', 64],
  ['I64', 64],
  ['U64', 64],
  ['C64', 64],
])

/** The limit of the official library; a header of a model with 100,000 tensors has about 10 MB. */
export const maxHeaderBytes = 100_000_000

interface Entry {
  readonly name: string
  readonly stored: string
  readonly shape: readonly number[]
  readonly begin: number
  readonly end: number
}

/**
 * Checks the header of a safetensors file and lists its tensors.
 * `bytes` is the JSON part without the 8 bytes of length, `fileSize` the size of the whole file in bytes.
 * Throws a `checkpoint` error unless the tensors cover the rest of the file exactly, without gap or overlap.
 */
export function parseHeader(bytes: Uint8Array, file: string, fileSize: number): SafetensorsHeader {
  const dataStart = 8 + bytes.byteLength
  const json = decodeHeader(bytes, file)
  const entries: Entry[] = []
  let metadata: Record<string, string> = {}
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') metadata = parseMetadata(value, file)
    else entries.push(parseEntry(name, value, file))
  }
  checkCoverage(entries, file, fileSize, dataStart)
  const tensors = new Map<string, TensorInfo>()
  const foreign = new Map<string, ForeignTensor>()
  for (const { name, stored, shape, begin, end } of entries) {
    const dtype = readable.get(stored)
    const byteLength = end - begin
    if (dtype) tensors.set(name, { name, dtype, shape, offset: dataStart + begin, byteLength })
    else foreign.set(name, { name, storedDtype: stored, shape, byteLength })
  }
  return { metadata, tensors, foreign }
}

export function foreignError(tensor: ForeignTensor, file: string): SlipwayError {
  const { name, storedDtype } = tensor
  const message =
    `${file}: tensor "${name}" has dtype ${storedDtype}, which cannot be read; ` +
    `convert it to one of ${dtypes.join(', ')}`
  return new SlipwayError('unsupported', message, { file, tensor: name, dtype: storedDtype })
}

function fault(file: string, message: string, offset?: number): SlipwayError {
  const place = offset === undefined ? file : `${file}: at byte ${offset}`
  return new SlipwayError('checkpoint', `${place}: ${message}`, offset === undefined ? { file } : { file, offset })
}

function decodeHeader(bytes: Uint8Array, file: string): Record<string, unknown> {
  let json: unknown
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    json = JSON.parse(text)
    const twice = duplicateKey(text)
    if (twice !== undefined) throw new Error(`the key ${show(twice)} appears twice`)
  } catch (error) {
    throw fault(file, `the header is not valid UTF-8 JSON (${messageOf(error)}); download the file again`, 8)
  }
  if (!isObject(json)) throw fault(file, `the header must be a JSON object, found ${show(json)}`, 8)
  return json
}

/** The first key that occurs twice at the top of an already valid JSON object; `JSON.parse` would keep the last. */
function duplicateKey(text: string): string | undefined {
  const seen = new Set<string>()
  let depth = 0
  for (const { 0: token, 1: key } of text.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (token === '{' || token === '[') depth++
    else if (token === '}' || token === ']') depth--
    else if (key !== undefined && depth === 1) {
      const name = JSON.parse(key) as string
      if (seen.has(name)) return name
      seen.add(name)
    }
  }
  return undefined
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (!isObject(value)) throw fault(file, `__metadata__ must be an object of strings, found ${show(value)}`)
  const metadata: Record<string, string> = Object.create(null)
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw fault(file, `__metadata__ "${key}" must be a string, found ${show(text)}`)
    metadata[key] = text
  }
  return metadata
}

function parseEntry(name: string, value: unknown, file: string): Entry {
  const where = `tensor "${name}"`
  if (!isObject(value)) throw fault(file, `${where} must be an object, found ${show(value)}`)
  const { dtype, shape, data_offsets: offsets } = value
  const bits = typeof dtype === 'string' ? bitsOf(dtype) : undefined
  if (bits === undefined) throw fault(file, `${where} has an unknown dtype ${show(dtype)}`)
  if (!isList(shape)) throw fault(file, `${where} has shape ${show(shape)}; expected non-negative integers`)
  if (!isList(offsets) || offsets.length !== 2 || offsets[0]! > offsets[1]!) {
    throw fault(file, `${where} has data_offsets ${show(offsets)}; expected [begin, end]`)
  }
  const [begin, end] = offsets as [number, number]
  const count = shape.reduce((product, size) => product * size, 1)
  if (!Number.isSafeInteger(count)) throw fault(file, `${where} has shape ${show(shape)}, too many elements`)
  if ((count * bits) / 8 !== end - begin) {
    const size = (count * bits) / 8
    throw fault(file, `${where} of ${String(dtype)} ${show(shape)} needs ${size} bytes, but has ${end - begin}`)
  }
  return { name, stored: dtype as string, shape, begin, end }
}

function bitsOf(stored: string): number | undefined {
  const dtype = readable.get(stored)
  return dtype ? bytesOf(dtype) * 8 : foreignBits.get(stored)
}

function isList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0)
}

function checkCoverage(entries: readonly Entry[], file: string, fileSize: number, dataStart: number): void {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end)
  let position = 0
  for (const { name, begin, end } of sorted) {
    const at = dataStart + begin
    if (begin < position) throw fault(file, `tensor "${name}" overlaps the tensor before it`, at)
    if (begin > position) throw fault(file, `tensor "${name}" leaves a gap of ${begin - position} bytes before it`, at)
    position = end
  }
  const expected = dataStart + position
  if (fileSize < expected) {
    const message = `the file is cut short: expected ${expected} bytes, found ${fileSize}; download it again`
    throw fault(file, message, fileSize)
  }
  if (fileSize > expected) {
    throw fault(file, `${fileSize - expected} bytes after the last tensor belong to none`, expected)
  }
}
