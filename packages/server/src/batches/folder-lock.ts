import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { refusal } from '../http/errors.ts'

const beatMilliseconds = 5000
const staleMilliseconds = 30_000

/** Holds a folder for one server: two that answer the same batches would answer them twice. */
export class FolderLock {
  readonly #path: string
  readonly #beat: NodeJS.Timeout

  /** Throws where another server that lives has the folder. */
  constructor(folder: string) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#path = join(folder, 'lock')
    const holder = readHolder(this.#path)
    if (holder !== undefined)
      throw refusal(
        `option batchDirectory: ${folder} belongs to another server, process ${holder}; name another folder, or end that server`,
        { param: 'batchDirectory' },
      )
    rmSync(this.#path, { force: true })
    // of two that come at once, one fails here
    writeFileSync(this.#path, JSON.stringify({ pid: process.pid, startedAt: startOfProcess() }), {
      flag: 'wx',
      mode: 0o600,
    })
    this.#beat = setInterval(() => this.#touch(), beatMilliseconds).unref()
  }

  #touch(): void {
    try {
      const now = new Date()
      utimesSync(this.#path, now, now)
    } catch {
      // the folder has been taken away; writing to it will tell
    }
  }

  release(): void {
    clearInterval(this.#beat)
    rmSync(this.#path, { force: true })
  }
}

/** The process that holds the lock; one that is dead, or silent for long, does not. */
function readHolder(path: string): number | undefined {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(path, 'utf8')) as { pid: number; startedAt: number }
    if (Date.now() - statSync(path).mtimeMs > staleMilliseconds) return undefined
    // in a container every process may have the same number
    if (pid === process.pid) return Math.abs(startedAt - startOfProcess()) < 1000 ? pid : undefined
    process.kill(pid, 0)
    return pid
  } catch (error) {
    // it lives, but is another user's
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? 0 : undefined
  }
}

function startOfProcess(): number {
  return Date.now() - process.uptime() * 1000
}
