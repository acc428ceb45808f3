// @ts-check
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { LlamaBench } from './llama-bench.mjs'
import { busyTime } from './machine.mjs'
import { refuse } from './options.mjs'
import { fitsTwice, weightFiles, workDirectory } from './prepare.mjs'
import { rateOf } from './rates.mjs'
import { Remote } from './remote.mjs'

/** @typedef {import('./rates.mjs').Task} Task */
/** @typedef {import('./child.mjs').Settings} Settings */

/**
 * Whoever can be measured. Only one measures at a time; the others then have nothing to do.
 *
 * @typedef {object} Contestant
 * @property {string} name
 * @property {Readonly<Record<string, unknown>>} info
 * @property {(task: Task) => Promise<Measurement | undefined>} measure undefined when it cannot do such a task
 * @property {() => Promise<void>} close
 */

/**
 * `value` is in tokens per second, or seconds for `load`. `others` is the share of all cores that other processes took
 * meanwhile, where that is known.
 *
 * @typedef {{ value: number, others?: number }} Measurement
 */

/**
 * @param {import('./options.mjs').Options} options
 * @param {{ checkpoint: string, gguf: string }} files
 * @param {Omit<Settings, 'model'>} settings
 * @returns {Contestant[]}
 */
export function openContestants({ peer, llamaBenches }, files, settings) {
  const staysLoaded = !peer || fitsTwice(files.gguf)
  /** @type {Contestant[]} */
  const contestants = [new Child('slipway', { ...settings, model: files.checkpoint }, staysLoaded)]
  if (peer)
    contestants.push(new Child(peer, { ...settings, model: files.gguf }, staysLoaded, { version: versionOf(peer) }))
  for (const one of llamaBenches) contestants.push(new LlamaBench(one, { ...settings, model: files.gguf }))
  return contestants
}

/** Of an installed peer. @param {string} peer @returns {string} */
export function versionOf(peer) {
  const manifest = new URL(`../node_modules/${peer}/package.json`, import.meta.url)
  if (!existsSync(manifest)) refuse(`${peer} is not installed: run "npm --prefix bench install", or take --peer none`)
  return JSON.parse(readFileSync(manifest, 'utf8')).version
}

/** A contestant in a process of its own, which keeps its model between rounds where memory allows. */
class Child {
  /** @type {Remote | undefined} */
  #remote

  /**
   * @param {string} name
   * @param {Settings} settings
   * @param {boolean} staysLoaded
   * @param {Record<string, unknown>} info
   */
  constructor(name, settings, staysLoaded, info = {}) {
    this.name = name
    this.info = info
    this.#cache = join(workDirectory, `cache-${name}`)
    this.#settings = settings
    this.#staysLoaded = staysLoaded
  }

  /** Of packed weights; one for each side, since a cold start empties it. */
  #cache
  #settings
  #staysLoaded

  /** Processor time that the process has told of. */
  #cpuTime = 0

  /**
   * @param {Task} task
   * @returns {Promise<Measurement>}
   */
  async measure(task) {
    const isLoad = task.kind === 'load'
    if (isLoad) await this.close()
    if (task.cold) await this.#forget()
    const [start, busy, own] = [performance.now(), busyTime(), this.#cpuTime]
    const { arrivals, cpuTime } = await this.#ask(task)
    const took = performance.now() - start
    const others = Math.max(0, busyTime() - busy - (cpuTime - own)) / (took * availableParallelism())
    this.#cpuTime = cpuTime
    if (isLoad || !this.#staysLoaded) await this.close()
    return { value: isLoad ? took / 1000 : rateOf(task, arrivals), others }
  }

  /**
   * @param {Task} task
   * @returns {Promise<{ arrivals: number[][], cpuTime: number }>}
   */
  async #ask(task) {
    this.#remote ??= new Remote(this.name, 'child.mjs', { SLIPWAY_CACHE: this.#cache })
    const module = new URL(`contestant-${this.name}.mjs`, import.meta.url).href
    const { info, arrivals, cpuTime } = await this.#remote.ask({ module, settings: this.#settings, task })
    Object.assign(this.info, info)
    return { arrivals, cpuTime }
  }

  /** Takes what earlier starts left behind out of the way: packed weights, and files in the system's cache. */
  async #forget() {
    await rm(this.#cache, { recursive: true, force: true })
    // dd of GNU gives a file's pages back; where there is no such dd, cold is only without packed weights
    for (const file of weightFiles(this.#settings.model))
      spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' })
  }

  async close() {
    const remote = this.#remote
    this.#remote = undefined
    this.#cpuTime = 0
    await remote?.close()
  }
}
