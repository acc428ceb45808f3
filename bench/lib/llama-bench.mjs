// @ts-check
import { spawnSync } from 'node:child_process'

/** Below this a context costs less than the noise. */
const minDepth = 256

/**
 * A `llama-bench` of the llama.cpp family, given by path. llama.cpp's warms up with the whole test, ik_llama.cpp's with
 * one token only, so that the second of two runs counts; after a long context one, which has had that to warm up.
 */
export class LlamaBench {
  /** @type {Record<string, unknown>} */
  info = {}

  /**
   * @param {import('./options.mjs').Options['llamaBenches'][number]} given
   * @param {import('./child.mjs').Settings} settings
   */
  constructor({ name, path, args }, settings) {
    this.name = name
    this.#path = path
    this.#args = args
    this.#settings = settings
  }

  #path
  #args
  #settings
  /** @type {boolean | undefined} */
  #knowsDepth

  /**
   * @param {import('./rates.mjs').Task} task
   * @returns {Promise<{ value: number } | undefined>}
   */
  async measure({ kind, prompt, tokens, sequences }) {
    if (kind === 'load' || sequences > 1) return undefined
    const { model, threads, batchTokens } = this.#settings
    const runs = kind === 'decode' && prompt >= minDepth ? 1 : 2
    const common = ['-m', model, '-t', threads, '-ub', batchTokens, '-r', runs, '-o', 'json']
    const test = kind === 'prefill' ? ['-p', prompt, '-n', 0] : this.#decodeArgs(prompt, tokens)
    const args = [...common, ...test, ...this.#args]
    const { status, stdout, stderr, error } = spawnSync(this.#path, args.map(String), { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${this.#path} ${args.join(' ')}: ${error?.message ?? stderr.slice(-500)}`)
    return { value: (kind === 'prefill' ? prompt : tokens) / (this.#read(stdout) / 1e9) }
  }

  /** @param {number} depth @param {number} tokens */
  #decodeArgs(depth, tokens) {
    if (depth < minDepth) return ['-p', 0, '-n', tokens]
    // ik_llama.cpp has no --n-depth
    this.#knowsDepth ??= spawnSync(this.#path, ['--help'], { encoding: 'utf8' }).stdout.includes('--n-depth')
    return this.#knowsDepth ? ['-p', 0, '-n', tokens, '-d', depth] : ['-p', 0, '-n', 0, '-gp', `${depth},${tokens}`]
  }

  /** Nanoseconds of the last run of the one test that was asked for. @param {string} stdout */
  #read(stdout) {
    // some builds print a line or two before
    const [result] = JSON.parse(stdout.slice(stdout.indexOf('[')))
    this.info = { version: `${result.build_number} (${result.build_commit})`, cpu: result.cpu_info }
    return Number(result.samples_ns.at(-1))
  }

  async close() {}
}
