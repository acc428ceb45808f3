import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import type { BlockName, KvStore } from './kv-tier.ts'

const suffix = '.kv'

/**
 * Keys and values of blocks as files, so that they outlive the process. One folder per fingerprint: what decides the
 * bits besides the tokens. A file holds a line of JSON that names its block, then the bytes; both are verified when it
 * is read, so a damaged or foreign file is a miss. The oldest files go when the budget is used up.
 */
export class KvDiskCache implements KvStore {
  readonly #folder: string
  readonly #budget: number
  /** Bytes of every file by key, the least recently used first. */
  readonly #sizes: Map<string, number>
  readonly #writes = new Map<string, Promise<void>>()
  #bytes: number
  #failure: unknown

  private constructor(folder: string, budget: number, sizes: Map<string, number>) {
    this.#folder = folder
    this.#budget = budget
    this.#sizes = sizes
    this.#bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0)
  }

  /** Takes over what earlier processes left. Others may read neither folder nor files: they hold prompts. */
  static async open(directory: string, budget: number, fingerprint: string): Promise<KvDiskCache> {
    const folder = join(directory, fingerprint)
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const files: { key: string; size: number; time: number }[] = []
      for (const name of await readdir(folder)) {
        const path = join(folder, name)
        // what was being written when a process ended
        if (!name.endsWith(suffix)) await rm(path)
        else {
          const { size, mtimeMs } = await stat(path)
          files.push({ key: name.slice(0, -suffix.length), size, time: mtimeMs })
        }
      }
      files.sort((a, b) => a.time - b.time)
      const cache = new KvDiskCache(folder, budget, new Map(files.map(({ key, size }) => [key, size])))
      await cache.#makeRoom()
      return cache
    } catch (error) {
      throw new SlipwayError(
        'request',
        `option kvDiskCache.directory: ${directory} cannot be used: ${String(error)}`,
        { param: 'kvDiskCache.directory' },
        { cause: error },
      )
    }
  }

  get bytes(): number {
    return this.#bytes
  }

  has(key: string): boolean {
    return this.#sizes.has(key)
  }

  #pathOf(key: string): string {
    return join(this.#folder, key + suffix)
  }

  /** The bytes of a block, undefined unless there is a whole file of just this block with `byteLength` bytes. */
  async read({ key, parent, ids }: BlockName, byteLength: number): Promise<Uint8Array | undefined> {
    const size = this.#sizes.get(key)
    if (size === undefined) return undefined
    try {
      const path = this.#pathOf(key)
      const file = await readFile(path)
      const end = file.indexOf(10)
      const bytes = file.subarray(end + 1)
      const head = headOf({ key, parent, ids }, bytes)
      if (bytes.byteLength !== byteLength || file.toString('utf8', 0, end) !== head) throw new Error('damaged')
      this.#sizes.delete(key)
      this.#sizes.set(key, size)
      const now = new Date()
      await utimes(path, now, now)
      return bytes
    } catch {
      await this.#remove(key)
      return undefined
    }
  }

  /** Begins to write a block. After a failure, of which a warning tells, nothing more is written. */
  write(name: BlockName, bytes: Uint8Array): void {
    const { key } = name
    if (this.#failure || this.has(key) || this.#writes.has(key)) return
    const write = this.#write(name, bytes)
      .catch((error: unknown) => {
        this.#failure ??= error
        process.emitWarning(`keys and values are no longer written to ${this.#folder}: ${String(error)}`)
      })
      .finally(() => this.#writes.delete(key))
    this.#writes.set(key, write)
  }

  async #write(name: BlockName, bytes: Uint8Array): Promise<void> {
    const file = Buffer.concat([Buffer.from(`${headOf(name, bytes)}\n`), bytes])
    const path = this.#pathOf(name.key)
    const temporary = `${path}.${process.pid}.tmp`
    await writeFile(temporary, file, { mode: 0o600 })
    await rename(temporary, path)
    this.#sizes.set(name.key, file.byteLength)
    this.#bytes += file.byteLength
    await this.#makeRoom()
  }

  async #makeRoom(): Promise<void> {
    while (this.#bytes > this.#budget) {
      const [oldest] = this.#sizes.keys()
      if (oldest === undefined) return
      await this.#remove(oldest)
    }
  }

  async #remove(key: string): Promise<void> {
    this.#bytes -= this.#sizes.get(key) ?? 0
    this.#sizes.delete(key)
    await rm(this.#pathOf(key), { force: true })
  }

  /** Waits until all that was handed over is on disk. */
  async settled(): Promise<void> {
    while (this.#writes.size > 0) await Promise.all(this.#writes.values())
  }
}

function headOf({ key, parent, ids }: BlockName, bytes: Uint8Array): string {
  const checksum = createHash('sha256').update(bytes).digest('base64url')
  return JSON.stringify({ key, parent, ids, checksum })
}
