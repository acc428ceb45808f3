// @ts-check
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const path = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url))

/**
 * `slipway serve` in a process of its own, with an engine that computes nothing; of its modules one by one, since the stub
 * stands in for one of them.
 *
 * @param {object} [settings]
 * @param {readonly string[]} [settings.flags] of `serve`
 * @param {readonly string[]} [settings.nodeFlags]
 * @param {number} [settings.stepTime] milliseconds of a step of the engine
 */
export async function startStubbed({ flags = [], nodeFlags = [], stepTime = 0 } = {}) {
  const args = [...nodeFlags, '--import', path('stub-engine.mjs'), path('../../packages/slipway/dist/bin.js'), 'serve']
  const child = spawn(process.execPath, [...args, '--port', '0', '--max-waiting-requests', '1000', ...flags], {
    // its log is written, and nobody reads it
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, STUB_STEP_MS: String(stepTime) },
  })
  /** @type {URL} */
  const url = await new Promise((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (data) => {
      text += data
      const found = /serving on (http:\S+)/.exec(text)
      if (found) resolve(new URL(found[1]))
    })
    child.once('exit', () => reject(new Error('the server ended before it was ready')))
  })
  return {
    url,
    /** Milliseconds of processor time of the thread that serves; its collector's helpers are not in it. */
    cpuTime: () => threadTime(child.pid ?? 0),
    /** Of the whole process. */
    processTime: () => processTime(child.pid ?? 0),
    async close() {
      const ended = new Promise((resolve) => child.once('exit', resolve))
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** Of a process, in milliseconds; the file tells of user and system as 14th and 15th, in 1/100 s (proc(5)). @param {number} pid */
function processTime(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** Of a process' first thread, in milliseconds: nanoseconds on the processor come first (sched-stats.rst). @param {number} pid */
function threadTime(pid) {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]) / 1e6
}
