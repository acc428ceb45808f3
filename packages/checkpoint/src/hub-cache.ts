import { copyFile, link, mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isMissing } from './json-file.ts'

/**
 * Where one model lies in the cache:
 *
 *     <cache>/models--<org>--<name>/
 *       blobs/<hash>               one file's content under its own hash: SHA-256 for LFS files, Git's SHA-1 for others
 *       blobs/<hash>.incomplete    what has arrived so far; only the same content is ever appended to it
 *       snapshots/<hash>/<path>    a whole revision, hard links to blobs; the hash is of its list of files
 *       refs/<revision>            the hash of the snapshot that the revision had when it was last downloaded
 *
 * A snapshot appears under its name only when it is whole, and no two contents share a name.
 */
export class HubCache {
  readonly root: string

  constructor(cacheDir: string, repository: string) {
    this.root = join(cacheDir, `models--${repository.replace('/', '--')}`)
  }

  blob(hash: string): string {
    return join(this.root, 'blobs', hash)
  }

  snapshot(hash: string): string {
    return join(this.root, 'snapshots', hash)
  }

  #ref(revision: string): string {
    return join(this.root, 'refs', encodeURIComponent(revision))
  }

  /** The directory of a revision that was downloaded before. */
  async find(revision: string): Promise<string | undefined> {
    const hash = await readFile(this.#ref(revision), 'utf8').catch((error: unknown) => {
      if (isMissing(error)) return undefined
      throw error
    })
    if (hash === undefined || !/^[0-9a-f]{64}$/.test(hash)) return undefined
    return (await sizeOf(this.snapshot(hash))) === undefined ? undefined : this.snapshot(hash)
  }

  /** Makes a snapshot of blobs that are all there, and lets the revision mean it. `hashOf` maps paths to hashes. */
  async commit(revision: string, hash: string, hashOf: ReadonlyMap<string, string>): Promise<string> {
    const directory = this.snapshot(hash)
    if ((await sizeOf(directory)) === undefined) {
      const temporary = `${directory}.tmp`
      await rm(temporary, { recursive: true, force: true })
      for (const [path, blob] of hashOf) {
        const target = join(temporary, path)
        await mkdir(dirname(target), { recursive: true })
        // not every file system has hard links
        await link(this.blob(blob), target).catch(() => copyFile(this.blob(blob), target))
      }
      await rename(temporary, directory)
    }
    const ref = this.#ref(revision)
    await mkdir(dirname(ref), { recursive: true })
    await writeFile(`${ref}.tmp`, hash)
    await rename(`${ref}.tmp`, ref)
    return directory
  }

  /** Runs `work` while no other process of this machine or cluster works on the same model. */
  async exclusively<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const lock = join(this.root, 'lock')
    await mkdir(this.root, { recursive: true })
    while (!(await tryLock(lock))) await sleep(200, undefined, signal ? { signal } : {})
    const heartbeat = setInterval(() => void utimes(lock, new Date(), new Date()).catch(() => {}), 5_000)
    try {
      return await work()
    } finally {
      clearInterval(heartbeat)
      await rm(lock, { recursive: true, force: true })
    }
  }
}

/** A lock whose owner has not touched it for this long is left over from a process that died. */
const staleAfterMs = 30_000

async function tryLock(lock: string): Promise<boolean> {
  try {
    await mkdir(lock)
    return true
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  }
  const touched = await stat(lock).catch(() => undefined)
  if (touched && Date.now() - touched.mtimeMs > staleAfterMs) await rm(lock, { recursive: true, force: true })
  return false
}

/** Size in bytes, or undefined when nothing is there. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

export function defaultCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  return environment['SLIPWAY_CACHE'] || join(homedir(), '.cache', 'slipway', 'hub')
}

/** Where packed weights are kept. */
export function packedCacheDir(environment: NodeJS.ProcessEnv = process.env): string {
  return join(environment['SLIPWAY_CACHE'] || join(homedir(), '.cache', 'slipway'), 'packed')
}
