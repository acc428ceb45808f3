import { createHash } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import type { Memory } from './native-loader.ts'

// A file of packed weights:
//
//   8 bytes  "SLIPPACK"
//   4 bytes  version of this form, 4 bytes length of the text, both little-endian
//   32 bytes SHA-256 of the text
//   text     JSON: the key, and the checksum of each chunk (64 bits, native/load.cc) in base64
//   zeros    up to a multiple of 4096
//   chunks   the arena as it lies in memory, in pieces of up to 2 MiB
//
// The checksums find what a disk or an unfinished write has done to a file; they do not guard against intent.

const magic = 'SLIPPACK'
const version = 1
const fixedBytes = 48
const pageBytes = 4096
/** A huge page, read by one thread. */
export const chunkBytes = 2 ** 21

/** A piece of memory and its place in the file. */
export interface Chunk {
  readonly memory: Memory
  readonly offset: number
  readonly address: number
  readonly length: number
  readonly fileOffset: number
}

export function chunksOf(memory: readonly Memory[]): Chunk[] {
  const count = memory.reduce((sum, { byteLength }) => sum + Math.ceil(byteLength / chunkBytes), 0)
  let fileOffset = dataStart(count)
  return memory.flatMap((slab) =>
    Array.from({ length: Math.ceil(slab.byteLength / chunkBytes) }, (_, i) => {
      const offset = i * chunkBytes
      const length = Math.min(chunkBytes, slab.byteLength - offset)
      const chunk = { memory: slab, offset, address: slab.address + offset, length, fileOffset }
      fileOffset += length
      return chunk
    }),
  )
}

/** Where the chunks begin: after a text whose length depends on their number alone. */
function dataStart(numChunks: number): number {
  const text = textOf('0'.repeat(64), new Uint8Array(8 * numChunks))
  return Math.ceil((fixedBytes + text.length) / pageBytes) * pageBytes
}

function textOf(key: string, sums: Uint8Array): Buffer {
  return Buffer.from(JSON.stringify({ key, checksums: Buffer.from(sums).toString('base64') }))
}

export function encodeHeader(key: string, chunks: readonly Chunk[], sums: Uint8Array): Buffer {
  const text = textOf(key, sums)
  const header = Buffer.alloc(dataStart(chunks.length))
  header.write(magic)
  header.writeUInt32LE(version, 8)
  header.writeUInt32LE(text.length, 12)
  createHash('sha256').update(text).digest().copy(header, 16)
  text.copy(header, fixedBytes)
  return header
}

/** The checksums of the chunks, 8 bytes each. Throws with the reason when this is no whole file of that key. */
export async function decodeHeader(file: FileHandle, key: string, chunks: readonly Chunk[]): Promise<Uint8Array> {
  const start = chunks[0]!.fileOffset
  const last = chunks.at(-1)!
  const expected = last.fileOffset + last.length
  const { size } = await file.stat()
  if (size !== expected) throw new Error(`it has ${size} bytes, ${expected} are expected`)
  const header = Buffer.alloc(start)
  await file.read(header, 0, start, 0)
  if (header.toString('latin1', 0, 8) !== magic || header.readUInt32LE(8) !== version)
    throw new Error('it is not a file of packed weights of this version')
  const text = header.subarray(fixedBytes, fixedBytes + header.readUInt32LE(12))
  if (!createHash('sha256').update(text).digest().equals(header.subarray(16, fixedBytes)))
    throw new Error('its header is damaged')
  const { key: stored, checksums } = JSON.parse(text.toString()) as { key: string; checksums: string }
  if (stored !== key) throw new Error('it belongs to other weights')
  return new Uint8Array(Buffer.from(checksums, 'base64'))
}
