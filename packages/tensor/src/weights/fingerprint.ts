import { createHash } from 'node:crypto'
import { fstatSync, readSync } from 'node:fs'
import type { StoredRows } from './stored-rows.ts'

/** Pages looked at in each file, evenly spread. */
const samples = 32
const pageBytes = 4096

/**
 * A hash that changes with the files' content or with `recipe`, which says what is made of them. Hashing gigabytes at
 * every start would cost more than loading them; a file is known by its size, inode, times of change to the nanosecond
 * (the inode's too, which no program can set) and 32 of its pages.
 */
export function fingerprintOf(files: readonly Pick<StoredRows, 'descriptor'>[], recipe: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(recipe))
  const page = new Uint8Array(pageBytes)
  for (const { descriptor } of files) {
    const { size, ino, mtimeNs, ctimeNs } = fstatSync(descriptor, { bigint: true })
    hash.update(JSON.stringify([size, ino, mtimeNs, ctimeNs].map(String)))
    for (let i = 0; i < samples; i++) {
      const count = readSync(descriptor, page, 0, pageBytes, (size * BigInt(i)) / BigInt(samples))
      hash.update(page.subarray(0, count))
    }
  }
  return hash.digest('hex')
}
