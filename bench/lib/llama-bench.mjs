// @ts-check
import { spawnSync } from 'node:child_process'
import { basename } from 'node:path'

/** Below this a context costs less than the noise. */
const minDepth = 256

/** A `llama-bench` of the llama.cpp family, given by path. It warms up by itself. */
export class LlamaBench {
  /** @type {Record<string, unknown>} */
  info = {}

  /**
   * @param {string} path
   * @param {readonly string[]} args further arguments, such as -rtr 1
   * @param {import('./child.mjs').Settings} settings
   */
  constructor(path, args, settings) {
    this.name = basename(path)
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
    const common = ['-m', model, '-t', threads, '-ub', batchTokens, '-r', 1, '-o', 'json']
    const test = kind === 'prefill' ? ['-p', prompt, '-n', 0] : this.#decodeArgs(prompt, tokens)
    const args = [...common, ...test, ...this.#args]
    const { status, stdout, stderr, error } = spawnSync(this.#path, args.map(String), { encoding: 'utf8' })
    if (status !== 0) throw new Error(`${this.#path} ${args.join(' ')}: ${error?.message ?? stderr.slice(-500)}`)
    return { value: this.#read(stdout) }
  }

  /** @param {number} depth @param {number} tokens */
  #decodeArgs(depth, tokens) {
    if (depth < minDepth) return ['-p', 0, '-n', tokens]
    // ik_llama.cpp has no --n-depth
    this.#knowsDepth ??= spawnSync(this.#path, ['--help'], { encoding: 'utf8' }).stdout.includes('--n-depth')
    return this.#knowsDepth ? ['-p', 0, '-n', tokens, '-d', depth] : ['-p', 0, '-n', 0, '-gp', `${depth},${tokens}`]
  }

  /** Tokens per second of the one test that was asked for. @param {string} stdout */
  #read(stdout) {
    // some builds print a line or two before
    const [result] = JSON.parse(stdout.slice(stdout.indexOf('[')))
    this.info = { version: `${result.build_number} (${result.build_commit})`, cpu: result.cpu_info }
    return Number(result.avg_ts)
  }

  async close() {}
}
