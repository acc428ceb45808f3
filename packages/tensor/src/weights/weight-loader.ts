import type { Device } from '../device.ts'
import type { DType } from '../dtype.ts'
import type { Tensor } from '../tensor.ts'
import type { PackedCache } from './packed-cache.ts'
import { convertFloats, quantizeGroups } from './rounding.ts'
import { notFinite, readRange, storedBytes, type StoredRows } from './stored-rows.ts'

/** Integer rounding of a weight: `bits` wide, with one scale for each `group` columns. */
export interface Rounding {
  readonly bits: 4 | 8
  readonly group: number
}

export interface LoadOptions {
  /** Where packed weights are kept from one start to the next; absent: nowhere. */
  readonly cache?: PackedCache | undefined
  /** Whatever decides the bits besides the files and what was asked for; part of the cache's key. */
  readonly identity?: string
  /** Whether rows of a weight that is `lookedUp` may come after the load, as `LoadReport.late` has it. */
  readonly late?: boolean
}

/** Rows of a weight that are not on the device yet. */
export interface LateRows {
  readonly isPending: boolean
  /** Puts these rows there, at once. Throws as a load does when they can be had from nowhere. */
  need(ids: readonly number[]): void
  /** Settles when all rows are there, which happens by itself, or were given up; the checkpoint stays open until then. */
  readonly complete: Promise<void>
}

export interface LoadReport {
  /** Whether the weights came from the cache. */
  readonly fromCache: boolean
  /** Bytes of the weights on the device. */
  readonly residentBytes: number
  /** Settles when a new cache file is in place, or given up with a warning. */
  readonly cached: Promise<void>
  /** Whoever runs anything says before which rows it looks up. */
  readonly late?: LateRows | undefined
  /** Gives the memory of the weights back to the system where it can; they are of no use afterwards. */
  release(): Promise<void>
}

/**
 * Takes weights out of files and puts them on the device as its kernels like them. First everything is asked for, then
 * `load` fills it; nothing may run before. `parts` are one after another the rows of one weight, all `cols` wide.
 */
export interface WeightLoader {
  /** A weight [sum of rows, cols] in `dtype`. */
  floats(parts: readonly StoredRows[], cols: number, dtype: DType): Tensor
  /** A weight for quantizedLinear, rounded as `quantizeGroups` does. */
  rounded(parts: readonly StoredRows[], cols: number, rounding: Rounding): { words: Tensor; scales: Tensor }
  /** Says of a weight of `floats` that single rows of it are looked up and nothing else; of one at most. */
  lookedUp(weight: Tensor): void
  load(options?: LoadOptions): Promise<LoadReport>
}

/** Told how many bytes of the files are done. */
export type OnLoaded = (bytes: number) => void

/** In plain TypeScript, for devices without a loader of their own. A weight is filled as soon as it is asked for. */
export class DirectLoader implements WeightLoader {
  readonly #device: Device
  readonly #onLoaded: OnLoaded
  #residentBytes = 0

  constructor(device: Device, onLoaded: OnLoaded) {
    this.#device = device
    this.#onLoaded = onLoaded
  }

  floats(parts: readonly StoredRows[], cols: number, dtype: DType): Tensor {
    const bytes = parts.map((part) => convertFloats(this.#read(part, cols), part.dtype, dtype))
    return this.#weight(bytes, [rowsOf(parts), cols], dtype)
  }

  rounded(parts: readonly StoredRows[], cols: number, { bits, group }: Rounding): ReturnType<WeightLoader['rounded']> {
    const done = parts.map((part) =>
      quantizeGroups(this.#read(part, cols), part.dtype, part.rows, cols, bits, group, (row) => notFinite(part, row)),
    )
    const { words, scales } = roundedShapes(rowsOf(parts), cols, { bits, group })
    return {
      words: this.#weight(
        done.map((part) => part.words),
        words,
        'u32',
      ),
      scales: this.#weight(
        done.map((part) => part.scales),
        scales,
        'f16',
      ),
    }
  }

  lookedUp(): void {
    // all is there
  }

  load(): Promise<LoadReport> {
    const done = Promise.resolve()
    return Promise.resolve({
      fromCache: false,
      residentBytes: this.#residentBytes,
      cached: done,
      // freed with the tensors
      release: () => done,
    })
  }

  #read(part: StoredRows, cols: number): Uint8Array {
    const length = storedBytes(part, cols)
    const bytes = readRange(part.path, part.descriptor, part.offset, length)
    this.#onLoaded(length)
    return bytes
  }

  #weight(parts: readonly Uint8Array[], shape: readonly number[], dtype: DType): Tensor {
    for (const part of parts) this.#residentBytes += part.byteLength
    return this.#device.weight('linear', parts, shape, dtype)
  }
}

export function rowsOf(parts: readonly StoredRows[]): number {
  return parts.reduce((sum, { rows }) => sum + rows, 0)
}

export function roundedShapes(
  rows: number,
  cols: number,
  { bits, group }: Rounding,
): Record<'words' | 'scales', number[]> {
  return { words: [rows, Math.ceil((cols * bits) / 32)], scales: [rows, Math.ceil(cols / group)] }
}
