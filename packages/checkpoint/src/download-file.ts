import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { appendFile, mkdir, open, rename, rm, truncate } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SlipwayError } from '@slipway/tensor'
import { sizeOf } from './hub-cache.ts'
import { unreachable } from './hub-client.ts'
import type { HubClient, RemoteFile } from './hub-client.ts'

export interface FileProgress {
  readonly file: string
  /** Bytes, what was there before included. */
  readonly received: number
  readonly total: number
}

export interface DownloadFileOptions {
  readonly client: HubClient
  readonly file: RemoteFile
  /** Where the content goes once it is whole and its hash is right. */
  readonly target: string
  readonly endpoint: string
  readonly onProgress?: ((progress: FileProgress) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/** Attempts that bring nothing before we give up; a connection that breaks after some bytes may break for ever. */
const maxIdleAttempts = 5

/** Downloads one file, going on where an earlier attempt stopped, in this call or in another. */
export async function downloadFile(options: DownloadFileOptions): Promise<void> {
  const { file, target, endpoint, signal } = options
  if ((await sizeOf(target)) === file.size) return
  await mkdir(dirname(target), { recursive: true })
  const part = await PartialFile.open(`${target}.incomplete`, file)
  let idle = 0
  while (part.received < file.size) {
    signal?.throwIfAborted()
    const before = part.received
    try {
      await receive(part, options)
    } catch (error) {
      signal?.throwIfAborted()
      idle = part.received > before ? 0 : idle + 1
      const isFinal = SlipwayError.is(error) && error.kind !== 'overload'
      if (isFinal || idle >= maxIdleAttempts) throw SlipwayError.is(error) ? error : unreachable(endpoint, error)
      await sleep(100 * 2 ** idle, undefined, signal ? { signal } : {})
    }
  }
  await part.finish(target)
}

async function receive(part: PartialFile, { client, file, onProgress }: DownloadFileOptions): Promise<void> {
  const { body, isWhole } = await client.read(file, part.received)
  if (isWhole && part.received > 0) await part.restart()
  for await (const received of part.append(body)) onProgress?.({ file: file.path, received, total: file.size })
}

/** A file on its way, with the hash of what has arrived. */
class PartialFile {
  readonly #path: string
  readonly #file: RemoteFile
  #hash: Hash
  received = 0

  private constructor(path: string, file: RemoteFile) {
    this.#path = path
    this.#file = file
    this.#hash = newHash(file)
  }

  /** Reads what an earlier call left, since the hash needs it. */
  static async open(path: string, file: RemoteFile): Promise<PartialFile> {
    const part = new PartialFile(path, file)
    await appendFile(path, '')
    const size = (await sizeOf(path)) ?? 0
    if (size > file.size) await part.restart()
    else if (size > 0) {
      for await (const chunk of createReadStream(path)) part.#count(chunk as Uint8Array)
    }
    return part
  }

  async restart(): Promise<void> {
    await truncate(this.#path)
    this.#hash = newHash(this.#file)
    this.received = 0
  }

  /** Gives the number of bytes received so far after every chunk that is on disk. */
  async *append(body: AsyncIterable<Uint8Array>): AsyncGenerator<number> {
    const handle = await open(this.#path, 'a')
    try {
      for await (const chunk of body) {
        if (this.received + chunk.byteLength > this.#file.size) throw await this.#wrong('is longer than')
        await handle.writeFile(chunk)
        this.#count(chunk)
        yield this.received
      }
    } finally {
      await handle.close()
    }
    if (this.received < this.#file.size) throw new Error(`the connection ended after ${this.received} bytes`)
  }

  async finish(target: string): Promise<void> {
    if (this.#hash.digest('hex') !== this.#file.hash) throw await this.#wrong('has another checksum than')
    await rename(this.#path, target)
  }

  #count(chunk: Uint8Array): void {
    this.#hash.update(chunk)
    this.received += chunk.byteLength
  }

  async #wrong(fault: string): Promise<SlipwayError> {
    await rm(this.#path, { force: true })
    const { path, hash } = this.#file
    const message = `${path}: what the hub sent ${fault} what it listed (${hash}); it was thrown away, download it again`
    return new SlipwayError('checkpoint', message, { file: path })
  }
}

/** LFS names a file by its SHA-256, Git by the SHA-1 of a header and the content. */
function newHash({ hash, size }: RemoteFile): Hash {
  return hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${size}\0`)
}
