import type { Device } from '../device.ts'
import { bytesOf, dtypes, type DType } from '../dtype.ts'
import { SlipwayError } from '../errors.ts'
import { faults, type Engine, type Native } from '../native.ts'
import { byteLengthOf, Tensor, type Spec, type Storage } from '../tensor.ts'
import { fingerprintOf } from './fingerprint.ts'
import { LateChunkRows } from './late-rows.ts'
import type { LateChunks, PackedCache } from './packed-cache.ts'
import type { Chunk } from './packed-file.ts'
import { cutShort, notFinite, storedBytes, type StoredRows } from './stored-rows.ts'
import { roundedShapes, rowsOf } from './weight-loader.ts'
import type { LoadOptions, LoadReport, OnLoaded, Rounding, WeightLoader } from './weight-loader.ts'

/** Memory of the cpu device: its address stays valid while `buffer` is referenced. */
export interface Memory extends Storage {
  readonly buffer: ArrayBuffer
  readonly byteOffset: number
  readonly address: number
}

/** What packed bytes mean; a change makes every cached copy useless. Instruction sets share one layout. */
const layoutVersion = 1
/** Output columns of a panel of a packed weight (native/command.h). */
export const panelColumns = 32
/** Weights share pieces of memory up to this size: older versions of Node end array buffers at 4 GiB. */
const slabBytes = 2 ** 30
/** Where one weight begins. */
const alignment = 128
/** Smaller models are packed sooner than found on disk. */
const leastCachedBytes = 2 ** 24
/** Of a file, asked of the system before they are needed. */
const aheadBytes = 2 ** 26

/** One weight asked for; its tensors get their memory in `load`. */
interface Entry {
  readonly parts: readonly StoredRows[]
  readonly cols: number
  readonly dtype: DType
  readonly rounding: Rounding | undefined
  /** Floats, or words and scales. */
  readonly tensors: readonly Tensor[]
}

/** Fills one arena in huge pages from the files, in native code on all threads, or from a packed copy on disk. */
export class NativeLoader implements WeightLoader {
  readonly #native: Native
  readonly #engine: Engine
  readonly #device: Device
  readonly #allocate: (bytes: number) => Memory
  readonly #release: (memory: Memory) => void
  readonly #onLoaded: OnLoaded
  readonly #entries: Entry[] = []
  #lookedUp: Entry | undefined

  constructor(
    parts: {
      native: Native
      engine: Engine
      allocate: (bytes: number) => Memory
      release: (memory: Memory) => void
    },
    device: Device,
    onLoaded: OnLoaded,
  ) {
    this.#native = parts.native
    this.#engine = parts.engine
    this.#allocate = parts.allocate
    this.#release = parts.release
    this.#device = device
    this.#onLoaded = onLoaded
  }

  floats(parts: readonly StoredRows[], cols: number, dtype: DType): Tensor {
    const tensor = this.#tensor([rowsOf(parts), cols], dtype)
    this.#entries.push({ parts, cols, dtype, rounding: undefined, tensors: [tensor] })
    return tensor
  }

  rounded(parts: readonly StoredRows[], cols: number, rounding: Rounding): ReturnType<WeightLoader['rounded']> {
    const shapes = roundedShapes(rowsOf(parts), cols, rounding)
    const words = this.#tensor(shapes.words, 'u32')
    const scales = this.#tensor(shapes.scales, 'f16')
    this.#entries.push({ parts, cols, dtype: 'u32', rounding, tensors: [words, scales] })
    return { words, scales }
  }

  lookedUp(weight: Tensor): void {
    this.#lookedUp = this.#entries.find(({ tensors }) => tensors[0] === weight)
  }

  #tensor(shape: readonly number[], dtype: DType): Tensor {
    return new Tensor(this.#device, { shape, dtype }, { layout: 'panel' })
  }

  async load({ cache, identity = '', late = false }: LoadOptions = {}): Promise<LoadReport> {
    const { places, slabs } = layOut(this.#entries)
    const memory = slabs.map((bytes) => this.#allocate(bytes))
    for (const [tensor, { slab, offset, byteLength }] of places) {
      const { buffer, address } = memory[slab]!
      const place: Memory = { byteLength, buffer, byteOffset: offset, address: address + offset }
      tensor.storage = place
    }
    const release = (): void => memory.forEach(this.#release)
    try {
      const lateEntry = late ? this.#lookedUp : undefined
      const latePlace = lateEntry && places.get(lateEntry.tensors[0]!)!
      const { lateChunks, ...report } = await this.#fill(memory, {
        cache,
        identity,
        places: [...places.values()],
        isLate: latePlace && ((chunk) => chunk.memory === memory[latePlace.slab] && isWithin(chunk, latePlace)),
      })
      const lateRows = lateChunks && this.#lateRows(lateEntry!, latePlace!.offset, lateChunks)
      const releaseAll = (): Promise<void> => {
        lateRows?.cancel()
        // a copy that is being written must be right
        return report.cached.then(release)
      }
      return { ...report, late: lateRows, release: releaseAll }
    } catch (error) {
      release()
      throw error
    }
  }

  async #fill(
    memory: readonly Memory[],
    { cache, identity, places, isLate }: FillOptions,
  ): Promise<Omit<LoadReport, 'release' | 'late'> & { lateChunks?: LateChunks | undefined }> {
    const residentBytes = memory.reduce((sum, { byteLength }) => sum + byteLength, 0)
    const uncached = { fromCache: false, residentBytes, cached: Promise.resolve() }
    if (!cache || residentBytes < leastCachedBytes) {
      await this.#fillFromFiles()
      return uncached
    }
    const key = this.#fingerprint(identity, places)
    const access = { native: this.#native, engine: this.#engine }
    const stored = this.#storedBytes()
    const kept = await cache.read(key, memory, access, (share) => this.#onLoaded(share * stored), isLate)
    if (kept) return { ...uncached, fromCache: true, lateChunks: kept.late }
    await this.#fillFromFiles()
    return { ...uncached, cached: cache.write(key, memory, access) }
  }

  #lateRows(entry: Entry, offset: number, chunks: LateChunks): LateChunkRows {
    const { buffer, byteOffset, byteLength } = entry.tensors[0]!.storage as Memory
    const panelBytes = panelColumns * entry.cols * bytesOf(entry.dtype)
    return new LateChunkRows(chunks, { offset, panelBytes, panelRows: panelColumns }, () => {
      new Uint8Array(buffer, byteOffset, byteLength).fill(0)
      this.#fillEntry(entry)
    })
  }

  #storedBytes(): number {
    return this.#entries.reduce(
      (sum, { parts, cols }) => sum + parts.reduce((bytes, part) => bytes + storedBytes(part, cols), 0),
      0,
    )
  }

  /** Files by descriptor in the order of their first use, so that a checkpoint may be moved as a whole. */
  #fingerprint(identity: string, places: readonly Place[]): string {
    const parts = this.#entries.flatMap((entry) => entry.parts)
    const files = [...new Map(parts.map((part) => [part.descriptor, part])).values()]
    const numberOf = new Map(files.map(({ descriptor }, i) => [descriptor, i]))
    const recipe = this.#entries.map(({ parts, cols, dtype, rounding }) => [
      cols,
      dtype,
      rounding ?? null,
      parts.map((part) => [numberOf.get(part.descriptor), part.offset, part.rows, part.dtype]),
    ])
    return fingerprintOf(files, { layoutVersion, identity, recipe, places })
  }

  async #fillFromFiles(): Promise<void> {
    const ahead = new ReadAhead(this.#native, this.#entries)
    for (const [i, entry] of this.#entries.entries()) {
      ahead.reach(i)
      this.#fillEntry(entry)
      for (const part of entry.parts) this.#onLoaded(storedBytes(part, entry.cols))
      // whoever ends the thread meanwhile does not wait for all
      await new Promise(setImmediate)
    }
  }

  #fillEntry({ parts, cols, dtype, rounding, tensors }: Entry): void {
    const ranges = parts.flatMap((part) => [part.descriptor, part.offset, part.rows, dtypes.indexOf(part.dtype)])
    const [panels, scales] = tensors.map((tensor) => (tensor.storage as Memory).address)
    const failure = this.#native.loadWeight(
      this.#engine,
      Float64Array.from(ranges),
      rowsOf(parts),
      cols,
      dtypes.indexOf(dtype),
      rounding?.bits ?? 0,
      rounding?.group ?? 0,
      panels!,
      scales ?? 0,
    )
    if (!failure) return
    const [code, index, value] = failure
    const part = parts[index]!
    if (code === 5) throw cutShort(part.path, part.offset + storedBytes(part, cols), value)
    if (code === 7) throw notFinite(part, value)
    const text = faults[code]?.(value) ?? `fault ${code}`
    throw new SlipwayError(code === 6 ? 'checkpoint' : 'device', `${part.path}: tensor ${part.name}: ${text}`)
  }
}

interface FillOptions {
  readonly cache: PackedCache | undefined
  readonly identity: string
  readonly places: readonly Place[]
  readonly isLate: ((chunk: Chunk) => boolean) | undefined
}

interface Place {
  readonly slab: number
  readonly offset: number
  readonly byteLength: number
}

/** Whether nothing else lies in a chunk of the same piece of memory. */
function isWithin(chunk: Chunk, { offset, byteLength }: Place): boolean {
  return chunk.offset >= offset && chunk.offset + chunk.length <= offset + byteLength
}

/** Gives every tensor a place in few large pieces of memory. */
function layOut(entries: readonly Entry[]): { places: Map<Tensor, Place>; slabs: number[] } {
  const places = new Map<Tensor, Place>()
  const slabs: number[] = []
  for (const tensor of entries.flatMap((entry) => entry.tensors)) {
    const byteLength = packedBytes(tensor)
    const used = slabs.at(-1)
    if (used === undefined || used + byteLength > slabBytes) slabs.push(0)
    const slab = slabs.length - 1
    places.set(tensor, { slab, offset: slabs[slab]!, byteLength })
    slabs[slab]! += Math.ceil(byteLength / alignment) * alignment
  }
  return { places, slabs }
}

/** Bytes of a weight in panels. */
export function packedBytes(spec: Spec): number {
  const [rows, cols] = spec.shape as [number, number]
  return byteLengthOf({ shape: [Math.ceil(rows / panelColumns) * panelColumns, cols], dtype: spec.dtype })
}

/** Asks for parts of files shortly before they are read, so that the disk works while the threads compute. */
class ReadAhead {
  readonly #native: Native
  readonly #entries: readonly Entry[]
  #next = 0
  #asked = 0

  constructor(native: Native, entries: readonly Entry[]) {
    this.#native = native
    this.#entries = entries
  }

  reach(current: number): void {
    for (; this.#next < this.#entries.length && (this.#next <= current || this.#asked < aheadBytes); this.#next++)
      for (const part of this.#entries[this.#next]!.parts) {
        const bytes = storedBytes(part, this.#entries[this.#next]!.cols)
        this.#native.readAhead(part.descriptor, part.offset, bytes)
        this.#asked += bytes
      }
    const { parts, cols } = this.#entries[current]!
    for (const part of parts) this.#asked -= storedBytes(part, cols)
  }
}
