import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { refusal } from '../http/errors.ts'

interface Entry {
  readonly order: number
  readonly api: { readonly id: string }
}

/**
 * Records in memory, each with a file of its own. What is asked for by name is looked up here, so that a name from a
 * client never becomes a path.
 */
export class RecordFolder<R extends Entry> {
  readonly #folder: string
  readonly #records = new Map<string, R>()
  /** One write of a record after the other: the last one counts. */
  readonly #writes = new Map<string, Promise<void>>()

  /** Reads all records; files that were being written when their process ended are removed. */
  constructor(folder: string) {
    this.#folder = folder
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const names = readdirSync(folder)
    for (const name of names.filter((one) => one.endsWith('.tmp'))) unlinkSync(join(folder, name))
    const found = names.filter((name) => name.endsWith('.json')).map((name) => this.#read(name))
    for (const record of found.toSorted((a, b) => a.order - b.order)) this.#records.set(record.api.id, record)
  }

  #read(name: string): R {
    const path = join(this.#folder, name)
    try {
      const record = JSON.parse(readFileSync(path, 'utf8')) as R
      if (`${record.api.id}.json` === name && Number.isFinite(record.order)) return record
    } catch {
      // the same message as for JSON of another kind
    }
    throw refusal(`option batchDirectory: ${path} is no record of ours; move it away`, { param: 'batchDirectory' })
  }

  get size(): number {
    return this.#records.size
  }

  /** In the order of their making. */
  all(): R[] {
    return [...this.#records.values()]
  }

  get(id: string): R | undefined {
    return this.#records.get(id)
  }

  /** Where a file of this name lies that belongs to a record; the name must be one of ours. */
  path(id: string, extension: string): string {
    if (!/^[a-z]+[-_][0-9a-f]{32}$/.test(id)) throw new Error(`not a name of ours: ${id}`)
    return join(this.#folder, `${id}.${extension}`)
  }

  /** At once for readers; on the disk, whole or not at all, when it resolves. */
  async set(record: R): Promise<void> {
    const { id } = record.api
    const path = this.path(id, 'json')
    this.#records.set(id, record)
    await this.#after(id, async () => {
      const file = await open(`${path}.tmp`, 'w', 0o600)
      try {
        await file.writeFile(JSON.stringify(record))
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(`${path}.tmp`, path)
    })
  }

  async delete(id: string): Promise<void> {
    this.#records.delete(id)
    await this.#after(id, () => rm(this.path(id, 'json'), { force: true }))
  }

  async #after(id: string, work: () => Promise<void>): Promise<void> {
    const done = (this.#writes.get(id) ?? Promise.resolve()).catch(() => {}).then(work)
    this.#writes.set(id, done)
    try {
      await done
    } finally {
      if (this.#writes.get(id) === done) this.#writes.delete(id)
    }
  }
}
