import { resolve } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { unknownAdapter, type AdapterInfo } from './adapters.ts'
import type { EngineClient } from './client.ts'
import { pauseModes, wakeTags, type EngineState, type PauseMode, type WakeTag } from './control-plane.ts'
import type { EngineStats } from './engine.ts'
import type { ModelInfo } from './protocol.ts'
import type { EngineSnapshot } from './snapshot.ts'

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
  #loras: readonly AdapterInfo[] = []

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

  /** What the engine does at this moment: its requests, and what its blocks are used for. */
  async snapshot(): Promise<EngineSnapshot> {
    return (await this.client()).call('snapshot')
  }

  /** LoRA adapters that requests may name. */
  get loras(): readonly AdapterInfo[] {
    return this.#loras
  }

  /**
   * Loads a LoRA adapter from a folder as PEFT saves it, while requests go on; `lora: name` then asks for it. Rejects
   * when the name is taken, or the adapter does not fit the model.
   */
  async loadLora(name: string, path: string): Promise<void> {
    if (name === '' || path === '')
      throw new SlipwayError('request', 'an adapter needs a name and a folder', { param: 'lora_name' })
    await this.loadLoraInto(await this.client(), name, path)
  }

  /** The same before the model counts as ready. */
  protected async loadLoraInto(client: EngineClient, name: string, path: string): Promise<void> {
    this.#loras = await client.call('loadLora', name, resolve(path))
  }

  /** Brings an engine that was started again to where the last one was; one that slept is awake. */
  protected async restore(client: EngineClient): Promise<void> {
    const { isPaused } = this.#state
    this.#state = await client.call('state')
    const adapters = this.#loras
    this.#loras = []
    // one whose files have gone is no more, as after an unload
    for (const { name, path } of adapters) await this.loadLoraInto(client, name, path).catch(() => {})
    if (isPaused) this.#state = await client.call('pause', 'keep')
  }

  /** Takes an adapter away; requests under way that name it go on to their end. */
  async unloadLora(name: string): Promise<void> {
    this.#loras = await (await this.client()).call('unloadLora', name)
  }

  protected adapterNamed(name: string): AdapterInfo {
    const found = this.#loras.find((adapter) => adapter.name === name)
    if (found) return found
    throw unknownAdapter(
      name,
      this.#loras.map((adapter) => adapter.name),
    )
  }
}

function requireOneOf<T>(name: string, value: T, allowed: readonly T[]): void {
  if (allowed.includes(value)) return
  throw new SlipwayError('request', `${name} is ${JSON.stringify(value)}; it must be one of ${allowed.join(', ')}`, {
    param: name,
  })
}
