import { randomBytes } from 'node:crypto'
import { createReadStream, readdirSync, rmSync, statSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { refusal } from '../http/errors.ts'
import { RecordFolder } from './record-folder.ts'
import { hasEnded, unixNow, type ApiFile, type BatchRecord, type FileRecord } from './records.ts'

/** What a record takes on a disk. */
const recordBytes = 4096

/** The files and batches of a server in a folder of its disk. */
export class BatchStore {
  readonly files: RecordFolder<FileRecord>
  readonly batches: RecordFolder<BatchRecord>
  readonly #maxBytes: number
  #usedBytes = 0
  #lastOrder = 0

  /** Takes up what an earlier server left; remains of uploads that did not end are removed. */
  constructor(folder: string, maxBytes: number) {
    this.#maxBytes = maxBytes
    const filesFolder = join(folder, 'files')
    this.files = new RecordFolder(filesFolder)
    this.batches = new RecordFolder(join(folder, 'batches'))
    this.#lastOrder = Math.max(0, ...[this.files, this.batches].map((one) => one.all().at(-1)?.order ?? 0))
    const open = this.batches.all().filter((batch) => !hasEnded(batch))
    const kept = new Set(open.flatMap(({ outputId, errorId }) => [outputId, errorId]))
    for (const name of readdirSync(filesFolder).filter((one) => !one.endsWith('.json'))) {
      const path = join(filesFolder, name)
      const id = name.replace(/\.jsonl$/, '')
      if (this.files.get(id) || kept.has(id)) this.#usedBytes += statSync(path).size
      else rmSync(path, { recursive: true })
    }
  }

  /** Bytes on the disk, with those of uploads under way. */
  get usedBytes(): number {
    return this.#usedBytes + recordBytes * (this.files.size + this.batches.size)
  }

  /** Throws where so many bytes more are more than may be; to be called before they are written. */
  reserve(bytes: number): void {
    if (this.usedBytes + bytes + recordBytes > this.#maxBytes)
      throw refusal(
        `the server may keep ${this.#maxBytes} bytes of files and has no room for more; delete some, or raise --batch-disk-bytes`,
        { status: 413, code: 'storage_full' },
      )
    this.#usedBytes += bytes
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes
  }

  /** When something is made: its time, unlike any other. */
  nextOrder(): number {
    this.#lastOrder = Math.max(this.#lastOrder + 1, Date.now())
    return this.#lastOrder
  }

  /** Where the bytes of a file lie. */
  contentPath(id: string): string {
    return this.files.path(id, 'jsonl')
  }

  /** Bytes of a file that is being written, or was when the last server ended. */
  sizeOf(id: string): number {
    return statSync(this.contentPath(id), { throwIfNoEntry: false })?.size ?? 0
  }

  /** Takes a file as it comes; `keep` makes it one of the server's, `discard` forgets it. */
  async receive(maxBytes: number) {
    const id = newId('file-')
    const path = this.files.path(id, 'upload')
    const file = await open(path, 'wx', 0o600)
    let bytes = 0
    return {
      write: async (chunk: Uint8Array): Promise<void> => {
        if (bytes + chunk.length > maxBytes) throw tooLarge(maxBytes)
        this.reserve(chunk.length)
        bytes += chunk.length
        for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten
      },
      keep: async (owner: string, facts: Pick<ApiFile, 'filename' | 'purpose' | 'expires_at'>): Promise<ApiFile> => {
        await file.sync()
        await file.close()
        await rename(path, this.contentPath(id))
        return this.addFile(id, bytes, owner, facts)
      },
      discard: async (): Promise<void> => {
        await file.close().catch(() => {})
        await rm(path, { force: true })
        this.release(bytes)
      },
    }
  }

  /** Makes what lies at `contentPath(id)` a file that its owner sees. */
  async addFile(
    id: string,
    bytes: number,
    owner: string,
    facts: Pick<ApiFile, 'filename' | 'purpose' | 'expires_at'>,
  ): Promise<ApiFile> {
    const api = { id, object: 'file', bytes, created_at: unixNow(), ...facts, status: 'processed' } as const
    await this.files.set({ owner, order: this.nextOrder(), api })
    return api
  }

  /** The bytes of a file; it is opened when the first ones are asked for. */
  async *read(id: string): AsyncGenerator<Uint8Array> {
    yield* createReadStream(this.contentPath(id)) as AsyncIterable<Buffer>
  }

  async deleteFile({ api }: FileRecord): Promise<void> {
    await this.files.delete(api.id)
    await rm(this.contentPath(api.id), { force: true })
    this.release(api.bytes)
  }

  /** The batch under way that reads this file, if there is one. */
  userOf(fileId: string): BatchRecord | undefined {
    return this.batches.all().find((batch) => batch.api.input_file_id === fileId && !hasEnded(batch))
  }

  /** Removes what is older than it may get. */
  async sweep(keepSeconds: number): Promise<void> {
    const now = unixNow()
    for (const file of this.files.all())
      if (file.api.expires_at <= now && !this.userOf(file.api.id)) await this.deleteFile(file)
    for (const batch of this.batches.all())
      if (batch.api.expires_at + keepSeconds <= now) await this.batches.delete(batch.api.id)
  }
}

export function newId(prefix: 'file-' | 'batch_'): string {
  return `${prefix}${randomBytes(16).toString('hex')}`
}

function tooLarge(maxBytes: number) {
  return refusal(`the file is longer than ${maxBytes} bytes; send less, or raise --batch-file-bytes`, {
    status: 413,
    code: 'file_too_large',
  })
}
