import { readSync } from 'node:fs'
import { bytesOf, type DType } from '../dtype.ts'
import { SlipwayError } from '../errors.ts'

/** A float matrix as it lies in an open file, row after row, little-endian. */
export interface StoredRows {
  /** For messages. */
  readonly name: string
  readonly path: string
  readonly descriptor: number
  /** From the start of the file, in bytes. */
  readonly offset: number
  readonly rows: number
  readonly dtype: DType
}

export function storedBytes({ rows, dtype }: StoredRows, cols: number): number {
  return rows * cols * bytesOf(dtype)
}

/** A range of a file as a fresh copy. A `checkpoint` error when the file ends before. */
export function readRange(path: string, descriptor: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  // a single read returns at most 2 GiB
  for (let done = 0; done < length;) {
    const count = readSync(descriptor, bytes, done, Math.min(length - done, 2 ** 30), offset + done)
    if (count === 0) throw cutShort(path, offset + length, offset + done)
    done += count
  }
  return bytes
}

export function cutShort(path: string, expected: number, size: number): SlipwayError {
  const message = `${path}: the file is cut short: expected at least ${expected} bytes, found ${size}; download it again`
  return new SlipwayError('checkpoint', message, { file: path, offset: size })
}

/** A weight that no integer with a scale can stand for. */
export function notFinite({ name, path }: StoredRows, row: number): SlipwayError {
  return new SlipwayError(
    'checkpoint',
    `${path}: tensor ${name} has in row ${row} a value that is not finite or too large for a 16-bit scale; ` +
      'it cannot be quantised: load it without, or mend the file',
    { file: path, tensor: name, row },
  )
}
