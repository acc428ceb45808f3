import { refusal } from '../http/errors.ts'
import type { InputTensor, ModelInferRequest, TensorContents } from './messages.ts'

export type Element = boolean | number | Buffer

/** An input that was read: its elements in row-major order. */
export interface GivenTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: readonly Element[]
}

interface Datatype {
  readonly field: keyof TensorContents
  readonly fromRaw: (raw: Buffer, name: string) => readonly Element[]
}

/** The datatypes that inputs may have here. */
const datatypes: Readonly<Record<string, Datatype>> = {
  BYTES: { field: 'bytes_contents', fromRaw: splitBytes },
  BOOL: { field: 'bool_contents', fromRaw: fixedWidth(1, (raw, at) => raw[at] !== 0) },
  INT32: { field: 'int_contents', fromRaw: fixedWidth(4, (raw, at) => raw.readInt32LE(at)) },
  INT64: { field: 'int64_contents', fromRaw: fixedWidth(8, (raw, at) => Number(raw.readBigInt64LE(at))) },
}

/** The inputs by name, for a model that takes those in `accepted`, each as one of some datatypes. */
export function readInputs(
  { inputs, raw_input_contents: raw }: ModelInferRequest,
  accepted: Readonly<Record<string, readonly string[]>>,
): ReadonlyMap<string, GivenTensor> {
  const read = new Map<string, GivenTensor>()
  if (raw.length > 0 && raw.length !== inputs.length)
    throw refusal(`raw_input_contents: has ${raw.length} entries for ${inputs.length} inputs; give one for each`, {
      param: 'raw_input_contents',
    })
  for (const [i, tensor] of inputs.entries()) {
    const { name, datatype } = tensor
    const types = Object.hasOwn(accepted, name) ? accepted[name]! : undefined
    if (!types)
      throw fault(name, `there is no such input; the model takes ${Object.keys(accepted).join(', ')}`, 'unknown_input')
    if (read.has(name)) throw fault(name, 'is given twice; remove one')
    if (!types.includes(datatype)) throw fault(name, `must have the datatype ${types.join(' or ')}, not "${datatype}"`)
    const unknown = Object.keys(tensor.parameters)[0]
    if (unknown !== undefined) throw fault(name, `parameter ${unknown} of a tensor is not supported; remove it`)
    read.set(name, readTensor(tensor, raw[i]))
  }
  return read
}

function readTensor({ name, datatype, shape, contents }: InputTensor, raw: Buffer | undefined): GivenTensor {
  const { field, fromRaw } = datatypes[datatype]!
  const other = Object.entries(contents ?? {}).find(
    ([key, given]) => (given as readonly unknown[]).length > 0 && (raw !== undefined || key !== field),
  )
  if (other) {
    const remedy = raw === undefined ? `${datatype} goes in ${field}` : 'remove it, or raw_input_contents'
    throw fault(name, `has elements in ${other[0]}; ${remedy}`)
  }
  const bad = shape.find((size) => !Number.isSafeInteger(size) || size < 0)
  if (bad !== undefined) throw fault(name, `has the size ${bad} in its shape; sizes are 0 or more`)
  const values: readonly Element[] = raw ? fromRaw(raw, name) : (contents?.[field] ?? [])
  const expected = shape.reduce((product, size) => product * size, 1)
  if (values.length !== expected)
    throw fault(name, `has ${values.length} elements, but its shape [${shape.join(', ')}] asks for ${expected}`)
  return { name, shape, values }
}

function fault(name: string, message: string, code = 'invalid_value') {
  return refusal(`${name}: ${message}`, { param: name, code })
}

function fixedWidth(width: number, read: (raw: Buffer, at: number) => Element) {
  return (raw: Buffer, name: string): readonly Element[] => {
    if (raw.length % width !== 0) throw fault(name, `has ${raw.length} raw bytes, which is no multiple of ${width}`)
    return Array.from({ length: raw.length / width }, (_, i) => read(raw, i * width))
  }
}

/** Each element follows its length in bytes as uint32, little-endian. */
function splitBytes(raw: Buffer, name: string): readonly Buffer[] {
  const elements: Buffer[] = []
  for (let at = 0; at < raw.length;) {
    const end = at + 4 <= raw.length ? at + 4 + raw.readUInt32LE(at) : Infinity
    if (end > raw.length) throw fault(name, `its raw bytes end within element ${elements.length}`)
    elements.push(raw.subarray(at + 4, end))
    at = end
  }
  return elements
}

/** BYTES as text. */
export function textOf(value: Element, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(value as Buffer)
  } catch {
    throw fault(name, 'is not valid UTF-8')
  }
}
