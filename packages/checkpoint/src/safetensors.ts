import { closeSync, fstatSync, openSync } from 'node:fs'
import { SlipwayError, cutShort, readRange, type StoredRows } from '@slipway/tensor'
import { messageOf } from './json-file.ts'
import { foreignError, maxHeaderBytes, parseHeader } from './safetensors-header.ts'
import type { ForeignTensor, SafetensorsHeader, TensorInfo } from './safetensors-header.ts'

export type { ForeignTensor, TensorInfo } from './safetensors-header.ts'

/**
 * One safetensors file, open for reading. The header is checked as a whole before anything is used.
 * Source of the format: https://github.com/huggingface/safetensors (README, "Format").
 */
export class SafetensorsFile {
  readonly path: string
  readonly metadata: Readonly<Record<string, string>>
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** Tensors of an element type that we do not have; `bytes` refuses them by name. */
  readonly foreign: ReadonlyMap<string, ForeignTensor>
  #descriptor: number | undefined

  private constructor(path: string, descriptor: number, header: SafetensorsHeader) {
    this.path = path
    this.#descriptor = descriptor
    this.metadata = header.metadata
    this.tensors = header.tensors
    this.foreign = header.foreign
  }

  /** Throws a `checkpoint` error that names the file, the byte and the fault. */
  static async open(path: string): Promise<SafetensorsFile> {
    const descriptor = openFile(path)
    try {
      return new SafetensorsFile(path, descriptor, readHeader(path, descriptor))
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
  }

  /** The stored bytes of one tensor, little-endian: a fresh copy. A file that has become shorter is an error. */
  bytes(name: string): Uint8Array {
    const { offset, byteLength } = this.#info(name)
    return readRange(this.path, this.#open(), offset, byteLength)
  }

  /** Where the rows of a tensor lie; its last axis is a row. */
  rows(name: string): StoredRows {
    const { dtype, shape, offset } = this.#info(name)
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1)
    return { name, path: this.path, descriptor: this.#open(), offset, rows, dtype }
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name)
    if (!info) throw this.#absent(name)
    return info
  }

  #open(): number {
    if (this.#descriptor !== undefined) return this.#descriptor
    throw new SlipwayError('internal', `${this.path} is closed`, { file: this.path })
  }

  /** Gives the file back; a second call does nothing. */
  close(): void {
    if (this.#descriptor === undefined) return
    closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  #absent(name: string): SlipwayError {
    const foreign = this.foreign.get(name)
    if (foreign) return foreignError(foreign, this.path)
    return new SlipwayError('checkpoint', `${this.path}: has no tensor "${name}"`, { file: this.path, tensor: name })
  }
}

function openFile(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (error) {
    const message = `${path}: cannot be opened: ${messageOf(error)}`
    throw new SlipwayError('checkpoint', message, { file: path }, { cause: error })
  }
}

function readHeader(path: string, descriptor: number): SafetensorsHeader {
  const stat = fstatSync(descriptor)
  if (!stat.isFile()) throw new SlipwayError('checkpoint', `${path}: is not a file`, { file: path })
  const { size } = stat
  if (size < 8) throw cutShort(path, 8, size)
  const start = readRange(path, descriptor, 0, 8)
  const length = Number(new DataView(start.buffer).getBigUint64(0, true))
  if (length > maxHeaderBytes) {
    const pointer = new TextDecoder().decode(start) === 'version '
    const remedy = pointer
      ? 'the file is a Git LFS pointer; run "git lfs pull"'
      : `the limit is ${maxHeaderBytes}; this is not a safetensors file`
    throw new SlipwayError('checkpoint', `${path}: at byte 0: header length ${length}; ${remedy}`, {
      file: path,
      offset: 0,
    })
  }
  if (8 + length > size) throw cutShort(path, 8 + length, size)
  return parseHeader(readRange(path, descriptor, 8, length), path, size)
}
