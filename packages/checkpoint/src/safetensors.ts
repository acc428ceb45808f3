import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { SlipwayError, bytesOf, mapFile } from '@slipway/tensor'
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
  #mapped: Uint8Array | undefined

  private constructor(path: string, descriptor: number, header: SafetensorsHeader, mapped: Uint8Array | undefined) {
    this.path = path
    this.#descriptor = descriptor
    this.metadata = header.metadata
    this.tensors = header.tensors
    this.foreign = header.foreign
    this.#mapped = mapped
  }

  /** Throws a `checkpoint` error that names the file, the byte and the fault. */
  static async open(path: string): Promise<SafetensorsFile> {
    const descriptor = openFile(path)
    try {
      const header = readHeader(path, descriptor)
      return new SafetensorsFile(path, descriptor, header, mapFile(path))
    } catch (error) {
      closeSync(descriptor)
      throw error
    }
  }

  /**
   * The stored bytes of one tensor, little-endian, starting at a multiple of the element size.
   * A view of the mapped file where there is one (then read-only), otherwise a fresh copy at every call.
   */
  bytes(name: string): Uint8Array {
    const info = this.tensors.get(name)
    if (!info) throw this.#absent(name)
    if (this.#descriptor === undefined)
      throw new SlipwayError('internal', `${this.path} is closed`, { file: this.path })
    const { offset, byteLength } = info
    if (!this.#mapped) return readRange(this.path, this.#descriptor, offset, byteLength)
    const view = this.#mapped.subarray(offset, offset + byteLength)
    // only a foreign writer leaves the header unpadded
    return view.byteOffset % bytesOf(info.dtype) === 0 ? view : view.slice()
  }

  /** Gives the file back; a second call does nothing. Views handed out before stay valid. */
  close(): void {
    if (this.#descriptor === undefined) return
    closeSync(this.#descriptor)
    this.#descriptor = undefined
    this.#mapped = undefined
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
  if (size < 8) throw tooShort(path, 8, size)
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
  if (8 + length > size) throw tooShort(path, 8 + length, size)
  return parseHeader(readRange(path, descriptor, 8, length), path, size)
}

function tooShort(path: string, expected: number, size: number): SlipwayError {
  const message = `${path}: the file is cut short: expected at least ${expected} bytes, found ${size}; download it again`
  return new SlipwayError('checkpoint', message, { file: path, offset: size })
}

function readRange(path: string, descriptor: number, offset: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length)
  // a single read returns at most 2 GiB
  for (let done = 0; done < length;) {
    const count = readSync(descriptor, bytes, done, Math.min(length - done, 2 ** 30), offset + done)
    if (count === 0) throw tooShort(path, offset + length, offset + done)
    done += count
  }
  return bytes
}
