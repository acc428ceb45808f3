import { open, rename, rm } from 'node:fs/promises'
import { SlipwayError, bytesOf } from '@slipway/tensor'
import type { DType } from '@slipway/tensor'
import { show } from './json-file.ts'
import { storedNames } from './safetensors-header.ts'

export interface TensorToWrite {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /** Little-endian, row-major; product of the shape times the element size. */
  readonly bytes: Uint8Array
}

/**
 * Writes one safetensors file, byte for byte as the official library does: header padded with spaces to 8 bytes,
 * tensors by dtype and then by name. The file appears under its name only when it is whole.
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorToWrite>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const sorted = [...tensors].sort(compare)
  const header = encodeHeader(sorted, metadata)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const handle = await open(temporary, 'w')
    try {
      await handle.writeFile(header)
      for (const { bytes } of sorted) await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

const rank = (dtype: DType): number => storedNames.findIndex(([, known]) => known === dtype)

/** Wide types first, so that every tensor starts at a multiple of its element size. */
function compare(a: TensorToWrite, b: TensorToWrite): number {
  return rank(b.dtype) - rank(a.dtype) || Buffer.compare(Buffer.from(a.name), Buffer.from(b.name))
}

function encodeHeader(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>): Uint8Array {
  const entries: [string, unknown][] = []
  if (Object.keys(metadata).length > 0) entries.push(['__metadata__', metadata])
  const names = new Set<string>(['__metadata__'])
  let position = 0
  for (const tensor of tensors) {
    const { name, dtype, shape, bytes } = tensor
    const size = shape.reduce((product, length) => product * length, bytesOf(dtype))
    if (size !== bytes.byteLength) {
      const message = `tensor "${name}" of ${dtype} ${show(shape)} needs ${size} bytes, got ${bytes.byteLength}`
      throw new SlipwayError('internal', message, { tensor: name })
    }
    if (names.has(name)) throw new SlipwayError('internal', `tensor name "${name}" is taken`, { tensor: name })
    names.add(name)
    entries.push([name, { dtype: storedNames[rank(dtype)]![0], shape, data_offsets: [position, position + size] }])
    position += size
  }
  // joined by hand: an object would move names like "0" to the front
  const json = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`
  const text = Buffer.from(json)
  const length = Math.ceil(text.byteLength / 8) * 8
  const header = Buffer.alloc(8 + length, ' ')
  header.writeBigUInt64LE(BigInt(length))
  text.copy(header, 8)
  return header
}
