import { readFile } from 'node:fs/promises'
import { SlipwayError, toF32, viewAs, type DType } from '@slipway/tensor'

const types: Readonly<Record<string, DType>> = { '<f4': 'f32', '<f2': 'f16', '<u2': 'bf16' }

/**
 * An array as numpy saves it (format 1 to 3, row-major); 16-bit integers are taken for bfloat16, which numpy does not
 * know. Source of the format: numpy.lib.format.
 */
export async function readNpy(path: string): Promise<{ shape: readonly number[]; values: Float32Array }> {
  const fault = (text: string): SlipwayError => new SlipwayError('checkpoint', `${path}: ${text}`, { file: path })
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fault(`cannot be read: ${String(error)}`)
  })
  if (bytes.length < 12 || bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw fault('is not an array of numpy')
  const isOld = bytes[6] === 1
  const start = (isOld ? 10 : 12) + (isOld ? bytes.readUInt16LE(8) : bytes.readUInt32LE(8))
  const header = bytes.toString('latin1', isOld ? 10 : 12, start)
  const [, type] = /'descr': '([^']*)'/.exec(header) ?? []
  const [, sizes] = /'shape': \(([\d, ]*)\)/.exec(header) ?? []
  const dtype = type === undefined ? undefined : types[type]
  if (!dtype || sizes === undefined || !header.includes("'fortran_order': False"))
    throw fault(`header ${header.trim()}; expected f4, f2 or bfloat16 in C order`)
  const shape = sizes.split(',').flatMap((size) => (size.trim() === '' ? [] : [Number(size)]))
  const length = shape.reduce((product, size) => product * size, 1)
  const data = bytes.subarray(start)
  if (data.length !== length * (dtype === 'f32' ? 4 : 2)) throw fault(`has ${data.length} bytes for shape [${shape}]`)
  // a copy, since a view must begin at a multiple of its element
  return { shape, values: toF32(dtype, viewAs(dtype, Uint8Array.from(data), length)) }
}
