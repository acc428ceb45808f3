// @ts-check
// Both ends of a process that answers messages, one at a time.
import { fork } from 'node:child_process'

/** The asking end. */
export class Remote {
  #name
  #process

  /**
   * @param {string} name who fails, in errors
   * @param {string} file beside this one, which calls `answerMessages`
   * @param {Readonly<Record<string, string>>} [variables] of its environment, beside those of this process
   */
  constructor(name, file, variables = {}) {
    this.#name = name
    this.#process = fork(new URL(file, import.meta.url), { env: { ...process.env, ...variables } })
  }

  /** @param {object} message @returns {Promise<any>} */
  ask(message) {
    const child = this.#process
    return new Promise((resolve, reject) => {
      const onExit = (/** @type {number | null} */ code, /** @type {string | null} */ signal) =>
        reject(new Error(`${this.#name} ended with ${signal ?? code}`))
      child.once('exit', onExit)
      child.once('message', (/** @type {any} */ answer) => {
        child.off('exit', onExit)
        if (answer.error) reject(new Error(`${this.#name}: ${answer.error}`))
        else resolve(answer)
      })
      child.send(message)
    })
  }

  /** Waits for the end: memory and cores belong to the next one. */
  async close() {
    const child = this.#process
    if (child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    // it may still be writing what makes its next start warm
    child.disconnect()
    const timeout = setTimeout(() => child.kill('SIGKILL'), 30_000)
    await ended
    clearTimeout(timeout)
  }
}

/**
 * The answering end; the process ends when nobody is left to ask.
 *
 * @param {(message: any) => Promise<object>} answer
 * @param {() => Promise<unknown> | undefined} close
 */
export function answerMessages(answer, close) {
  process.on('message', (message) => {
    void answer(message).then(
      (result) => process.send?.(result),
      (error) => process.send?.({ error: String(error?.stack ?? error) }),
    )
  })
  process.on('disconnect', () => void Promise.resolve(close()).finally(() => process.exit()))
}
