import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// The command line as a user runs it: real processes on the built-in model.

const bin = fileURLToPath(new URL('../../bin.mjs', import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** Starts the program; `until` waits for something on its standard output. */
export function start(args: readonly string[], input = '') {
  const child = spawn(process.execPath, [bin, ...args], { stdio: 'pipe' })
  let out = ''
  let err = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  child.stdin.end(input)
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  const until = async (pattern: RegExp): Promise<string> => {
    for (;;) {
      const found = pattern.exec(out)
      if (found) return found[1] ?? found[0]
      if (child.exitCode !== null) throw new Error(`ended with ${child.exitCode} before ${pattern}: ${out}${err}`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  return { child, ended, until }
}
