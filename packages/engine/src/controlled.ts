import { resolve } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import type { EngineClient } from './client.ts'
import { pauseModes, wakeTags, type EngineState, type PauseMode, type WakeTag } from './control-plane.ts'
import type { EngineStats } from './engine.ts'
import type { ModelInfo } from './protocol.ts'

export interface PauseOptions {
  /**
   * What becomes of requests under way: `abort` (default) ends them, `wait` lets them end by themselves, `keep` freezes
   * them until `resume`.
   */
  readonly mode?: PauseMode
}

/** What can be asked of the engine as a whole; vLLM's names. `LLM` is one. */
export abstract class Controlled {
  #state: EngineState = { isPaused: false, isSleeping: false, asleep: [] }
  #isFallingAsleep = false

  /** The engine, once it is loaded. */
  protected abstract client(): Promise<EngineClient>
  protected abstract set loadedInfo(info: ModelInfo)

  /** Whether new requests wait. */
  get isPaused(): boolean {
    return this.#state.isPaused
  }

  /** Whether weights or keys and values are not in memory; requests are then refused. */
  get isSleeping(): boolean {
    return this.#isFallingAsleep || this.#state.isSleeping
  }

  /** Throws `overload` while the engine sleeps. */
  protected requireAwake(): void {
    if (this.isSleeping)
      throw new SlipwayError('overload', 'the engine sleeps; try again when it was woken', {
        status: 503,
        code: 'sleeping',
        retryAfter: 5,
      })
  }

  /**
   * Requests that come from now on wait. Resolves when nothing runs any more: with `wait` when requests under way have
   * ended, else within a step. `clearCache` also forgets cached prefixes, which is never needed for right answers.
   */
  async pause({ mode = 'abort', clearCache = false }: PauseOptions & { readonly clearCache?: boolean } = {}) {
    requireOneOf('mode', mode, pauseModes)
    this.#state = await (await this.client()).call('pause', mode, clearCache)
  }

  /** Goes on with what is kept, and with what has come meanwhile. */
  async resume(): Promise<void> {
    this.#state = await (await this.client()).call('resume')
  }

  /**
   * Gives memory back to the system: keys and values, and weights. After level 1 `wake` reads the same weights again;
   * level 2 gives them up, so that `updateWeights` must come before `wake`. Requests under way are treated as by `pause`.
   */
  async sleep({ level = 1, mode = 'abort' }: PauseOptions & { readonly level?: 1 | 2 } = {}): Promise<void> {
    requireOneOf('level', level, [1, 2])
    requireOneOf('mode', mode, pauseModes)
    const client = await this.client()
    this.#isFallingAsleep = true
    try {
      this.#state = await client.call('sleep', level, mode)
    } finally {
      this.#isFallingAsleep = false
    }
  }

  /** Brings back what sleeps, by default all. */
  async wake(tags: readonly WakeTag[] = wakeTags): Promise<void> {
    for (const tag of tags) requireOneOf('tags', tag, wakeTags)
    this.#state = await (await this.client()).call('wake', tags)
  }

  /**
   * Takes the weights in a directory with the same config.json, by default those of the model's directory again. Requests
   * under way stand still meanwhile and go on with the new weights; pause first if they should not. If this rejects, the
   * old weights are in use as before.
   */
  async updateWeights(directory?: string): Promise<void> {
    const client = await this.client()
    this.loadedInfo = await client.call('updateWeights', directory === undefined ? undefined : resolve(directory))
    this.#state = await client.call('state')
  }

  /** Ends requests by id, or all. Gives the ids of those that were under way; each ends with `abort`. */
  async abort(requestIds?: readonly string[]): Promise<string[]> {
    const client = await this.client()
    const open = new Set(client.requestIds)
    const ended = [...new Set(requestIds ?? open)].filter((id) => open.has(id))
    for (const id of ended) client.abort(id)
    return ended
  }

  /** Forgets all cached prefixes, before the next step; requests under way go on. What is on disk stays. */
  async resetPrefixCache(): Promise<void> {
    await (await this.client()).call('resetPrefixCache')
  }

  async stats(): Promise<EngineStats> {
    return (await this.client()).call('stats')
  }
}

function requireOneOf<T>(name: string, value: T, allowed: readonly T[]): void {
  if (allowed.includes(value)) return
  throw new SlipwayError('request', `${name} is ${JSON.stringify(value)}; it must be one of ${allowed.join(', ')}`, {
    param: name,
  })
}
