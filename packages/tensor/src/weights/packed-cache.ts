import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, stat, statfs, utimes, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { concatBytes } from '../device.ts'
import type { Engine, Failure, Native } from '../native.ts'
import type { Memory } from './native-loader.ts'
import { chunksOf, decodeHeader, encodeHeader, type Chunk } from './packed-file.ts'

export interface PackedCacheOptions {
  readonly directory: string
  /** Files used longest ago are removed when all together are larger. */
  readonly maxBytes: number
}

export interface PackedCacheUsage {
  readonly files: number
  readonly bytes: number
}

interface Access {
  readonly native: Native
  readonly engine: Engine
}

/** Chunks of an open file that are still to be read, into memory that must not be used before. */
export interface LateChunks {
  /** By their place in their piece of memory. */
  readonly left: Map<number, Chunk>
  /** Reads those at these places; false when they are damaged, and the file is removed. Throws when the device is closed. */
  read(places: readonly number[]): boolean
  close(): Promise<void>
}

/** A chunk and the 8 bytes of its checksum. */
interface Summed {
  readonly chunk: Chunk
  readonly sum: Uint8Array
}

const ending = '.packed'
/** Read between two reports of progress. */
const batchChunks = 32
/** The failure of a call whose device is closed (native/command.h). */
const malformed = 1
/** A temporary file that nobody has written to for this long belongs to a process that died. */
const staleAfterMs = 3_600_000

/**
 * Packed weights on disk, one file for each checkpoint and set of options. Nothing here fails a load: what cannot be
 * read is made anew, what cannot be written is a warning. Files appear whole under their name, so any number of processes
 * may share the directory.
 */
export class PackedCache {
  readonly directory: string
  readonly #maxBytes: number

  constructor({ directory, maxBytes }: PackedCacheOptions) {
    this.directory = directory
    this.#maxBytes = maxBytes
  }

  #path(key: string): string {
    return join(this.directory, key.slice(0, 40) + ending)
  }

  /**
   * Fills the memory with what was kept under the key; undefined when there is nothing, or nothing sound (it is then
   * removed, and the memory zero again). Chunks that are `late` are left out, and can be read afterwards.
   */
  async read(
    key: string,
    memory: readonly Memory[],
    { native, engine }: Access,
    onRead: (share: number) => void,
    isLate: (chunk: Chunk) => boolean = () => false,
  ): Promise<{ readonly late: LateChunks | undefined } | undefined> {
    const path = this.#path(key)
    const chunks = chunksOf(memory)
    const file = await open(path, 'r').catch(() => undefined)
    if (!file) return undefined
    let late: LateChunks | undefined
    try {
      const sums = await decodeHeader(file, key, chunks)
      const all = chunks.map((chunk, i) => ({ chunk, sum: sums.subarray(8 * i, 8 * i + 8) }))
      const now = all.filter(({ chunk }) => !isLate(chunk))
      for (let i = 0; i < now.length; i += batchChunks) {
        const batch = now.slice(i, i + batchChunks)
        const failure = readChunks({ native, engine }, file.fd, batch)
        if (failure) throw new Error(damagedAt(failure))
        onRead(batch.length / chunks.length)
        await new Promise(setImmediate)
      }
      if (now.length < all.length) {
        late = lateChunks(
          { native, engine },
          file,
          path,
          all.filter(({ chunk }) => isLate(chunk)),
        )
        onRead(1 - now.length / all.length)
      }
      // used just now: the last to be removed
      await utimes(path, new Date(), new Date()).catch(() => {})
      return { late }
    } catch (error) {
      await discard(path, (error as Error).message)
      for (const chunk of chunks) bytesOfChunk(chunk).fill(0)
      return undefined
    } finally {
      if (!late) await file.close()
    }
  }

  /** Keeps a copy of the memory, which must not change meanwhile. Never rejects. */
  async write(key: string, memory: readonly Memory[], { native }: Pick<Access, 'native'>): Promise<void> {
    const path = this.#path(key)
    const temporary = `${path}.${process.pid}-${randomBytes(4).toString('hex')}.tmp`
    try {
      const chunks = chunksOf(memory)
      const last = chunks.at(-1)!
      await this.#makeRoom(last.fileOffset + last.length)
      const file = await open(temporary, 'wx', 0o600)
      try {
        await writeAll(file, key, chunks, native)
      } finally {
        await file.close()
      }
      await rename(temporary, path)
    } catch (error) {
      warn(
        `packed weights are not kept, so the next start packs them again: ${(error as Error).message}; ` +
          'packedCache: false (--no-packed-cache) does without',
      )
      await rm(temporary, { force: true }).catch(() => {})
    }
  }

  /** Makes the directory, and removes what was used longest ago until `bytes` more are within the limit. */
  async #makeRoom(bytes: number): Promise<void> {
    if (bytes > this.#maxBytes) throw new Error(`${bytes} bytes are more than the limit of ${this.#maxBytes}`)
    await mkdir(this.directory, { recursive: true, mode: 0o700 })
    const kept = await list(this.directory)
    let total = bytes + kept.reduce((sum, { size }) => sum + size, 0)
    for (const { path, size } of kept.sort((a, b) => a.time - b.time)) {
      if (total <= this.#maxBytes) break
      await rm(path, { force: true })
      total -= size
    }
    const { bavail, bsize } = await statfs(this.directory)
    if (bavail * bsize < bytes)
      throw new Error(`${this.directory} has ${bavail * bsize} bytes free, ${bytes} are needed`)
  }

  async usage(): Promise<PackedCacheUsage> {
    const kept = await list(this.directory).catch(() => [])
    return { files: kept.length, bytes: kept.reduce((sum, { size }) => sum + size, 0) }
  }
}

function readChunks({ native, engine }: Access, descriptor: number, chunks: readonly Summed[]): Failure | undefined {
  const fields = chunks.flatMap(({ chunk: { fileOffset, address, length } }) => [fileOffset, address, length])
  return native.readChunks(engine, descriptor, Float64Array.from(fields), concatBytes(chunks.map(({ sum }) => sum)))
}

function lateChunks(access: Access, file: FileHandle, path: string, chunks: readonly Summed[]): LateChunks {
  const sums = new Map(chunks.map(({ chunk, sum }) => [chunk, sum]))
  const left = new Map(chunks.map(({ chunk }) => [chunk.offset, chunk]))
  return {
    left,
    read(places) {
      const due = places.map((place) => left.get(place)!)
      const failure = readChunks(
        access,
        file.fd,
        due.map((chunk) => ({ chunk, sum: sums.get(chunk)! })),
      )
      if (failure?.[0] === malformed) throw new Error('the device is closed')
      if (failure) void discard(path, damagedAt(failure))
      else for (const place of places) left.delete(place)
      return failure === undefined
    },
    close: () => file.close(),
  }
}

const damagedAt = ([, , at]: Failure): string => `it is damaged at byte ${at}`

async function discard(path: string, reason: string): Promise<void> {
  warn(`the packed weights in ${path} are made anew: ${reason}`)
  await rm(path, { force: true }).catch(() => {})
}

/** The kept files; what dead writers have left is removed. */
async function list(directory: string): Promise<{ path: string; size: number; time: number }[]> {
  const files: { path: string; size: number; time: number }[] = []
  for (const name of await readdir(directory)) {
    const path = join(directory, name)
    const info = await stat(path).catch(() => undefined)
    if (!info?.isFile()) continue
    if (name.endsWith(ending)) files.push({ path, size: info.size, time: info.mtimeMs })
    else if (name.includes(`${ending}.`) && Date.now() - info.mtimeMs > staleAfterMs) await rm(path, { force: true })
  }
  return files
}

async function writeAll(file: FileHandle, key: string, chunks: readonly Chunk[], native: Native): Promise<void> {
  const sums = new Uint8Array(8 * chunks.length)
  for (const [i, chunk] of chunks.entries()) {
    const bytes = bytesOfChunk(chunk)
    native.checksum(bytes, sums.subarray(8 * i, 8 * i + 8))
    await writeFully(file, bytes, chunk.fileOffset)
  }
  await writeFully(file, encodeHeader(key, chunks, sums), 0)
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}

function bytesOfChunk({ memory, offset, length }: Chunk): Uint8Array {
  return new Uint8Array(memory.buffer, memory.byteOffset + offset, length)
}

function warn(text: string): void {
  process.emitWarning(text, 'SlipwayWarning')
}
