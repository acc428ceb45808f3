import { refusal } from '../http/errors.ts'
import type { ModelInferRequest, ModelInferResponse, OutputTensor } from './messages.ts'

/** An output before it is written: elements in row-major order. */
export type Output = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly datatype: 'BYTES'; readonly values: readonly string[] }
  | { readonly datatype: 'INT64'; readonly values: readonly number[] }
  | { readonly datatype: 'FP32'; readonly values: Float32Array }
)

export function bytes(name: string, values: readonly string[]): Output {
  return { name, datatype: 'BYTES', shape: [values.length], values }
}

export function int64(name: string, values: readonly number[], shape: readonly number[] = [values.length]): Output {
  return { name, datatype: 'INT64', shape, values }
}

/** Rows of the same length as one tensor. */
export function fp32(name: string, rows: readonly Float32Array[]): Output {
  const cols = rows[0]?.length ?? 0
  const values = new Float32Array(rows.length * cols)
  for (const [i, row] of rows.entries()) values.set(row, i * cols)
  return { name, datatype: 'FP32', shape: [rows.length, cols], values }
}

/** Throws for outputs that are asked for and do not exist. */
export function checkOutputs({ outputs }: ModelInferRequest, names: readonly string[]): void {
  for (const { name, parameters } of outputs) {
    if (!names.includes(name))
      throw refusal(`outputs: there is no output "${name}"; the model gives ${names.join(', ')}`, {
        param: 'outputs',
        code: 'unknown_output',
      })
    const parameter = Object.keys(parameters)[0]
    if (parameter !== undefined)
      throw refusal(`outputs: parameter ${parameter} of ${name} is not supported; remove it`, { param: 'outputs' })
  }
}

/** The outputs that were asked for, all by default; raw if the inputs were. */
export function writeOutputs(
  request: ModelInferRequest,
  outputs: readonly Output[],
): Pick<ModelInferResponse, 'outputs' | 'raw_output_contents'> {
  const asked = new Set(request.outputs.map(({ name }) => name))
  const shown = asked.size === 0 ? outputs : outputs.filter(({ name }) => asked.has(name))
  const heads = shown.map(({ name, datatype, shape }) => ({ name, datatype, shape }))
  if (request.raw_input_contents.length > 0) return { outputs: heads, raw_output_contents: shown.map(rawOf) }
  return { outputs: shown.map((output, i) => ({ ...heads[i]!, contents: contentsOf(output) })) }
}

function contentsOf({ datatype, values }: Output): NonNullable<OutputTensor['contents']> {
  if (datatype === 'BYTES') return { bytes_contents: values.map((text) => Buffer.from(text)) }
  return datatype === 'INT64' ? { int64_contents: values } : { fp32_contents: Array.from(values) }
}

function rawOf({ datatype, values }: Output): Buffer {
  if (datatype === 'FP32') {
    const raw = Buffer.alloc(values.length * 4)
    for (const [i, value] of values.entries()) raw.writeFloatLE(value, i * 4)
    return raw
  }
  if (datatype === 'INT64') {
    const raw = Buffer.alloc(values.length * 8)
    for (const [i, value] of values.entries()) raw.writeBigInt64LE(BigInt(value), i * 8)
    return raw
  }
  return Buffer.concat(
    values.flatMap((text) => {
      const element = Buffer.from(text)
      const length = Buffer.alloc(4)
      length.writeUInt32LE(element.length)
      return [length, element]
    }),
  )
}
