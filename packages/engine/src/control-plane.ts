import { SlipwayError } from '@slipway/tensor'
import type { AdapterInfo, Adapters } from './adapters.ts'
import type { Engine, EngineStats, StepOutput } from './engine.ts'
import type { ModelInfo } from './protocol.ts'
import type { EngineSnapshot } from './snapshot.ts'

/** What becomes of the requests under way: they end by themselves, are aborted, or stay as they are until later. */
export const pauseModes = ['abort', 'wait', 'keep'] as const
export type PauseMode = (typeof pauseModes)[number]

export const wakeTags = ['weights', 'kv_cache'] as const
export type WakeTag = (typeof wakeTags)[number]

/** What the engine as a whole is doing. */
export interface EngineState {
  readonly isPaused: boolean
  /** Whether weights or keys and values are not in memory. */
  readonly isSleeping: boolean
  /** What sleeps. */
  readonly asleep: readonly WakeTag[]
}

/** What the control plane needs to do with the weights and the memory of keys and values. */
export interface ModelControl {
  /** Gives the memory of the weights back. */
  releaseWeights(): Promise<void>
  /** Brings the released ones back; rejects if their files have changed. */
  restoreWeights(): Promise<void>
  /** Takes weights of the same config from a directory; when it rejects, nothing has changed. */
  replaceWeights(directory: string): Promise<ModelInfo>
  /** Gives the memory of keys and values back, on the device and behind it. */
  releaseCache(): Promise<void>
  readonly directory: string
}

/**
 * Commands for the engine as a whole, each a method, called by name from the front. Everything that touches weights or
 * caches runs between two steps.
 */
export class ControlPlane {
  readonly #engine: Engine
  readonly #model: ModelControl
  readonly #adapters: Adapters | undefined
  readonly #onOutputs: (outputs: readonly StepOutput[]) => void
  #isPaused = false
  /** The engine sleeps because of `sleep`, so waking resumes it. */
  #resumesOnWake = false
  #weights: 'awake' | 'released' | 'discarded' = 'awake'
  #isCacheAsleep = false

  /** `adapters` are those of an engine with room for them; `onOutputs` is told of requests that a command has ended. */
  constructor(
    engine: Engine,
    model: ModelControl,
    adapters: Adapters | undefined,
    onOutputs: (outputs: readonly StepOutput[]) => void,
  ) {
    this.#engine = engine
    this.#model = model
    this.#adapters = adapters
    this.#onOutputs = onOutputs
  }

  stats(): EngineStats {
    return this.#engine.stats()
  }

  snapshot(): EngineSnapshot {
    return this.#engine.snapshot()
  }

  /** Loads a LoRA adapter; gives those that there are now. */
  async loadLora(name: string, path: string): Promise<AdapterInfo[]> {
    const adapters = this.#requireAdapters()
    await adapters.load(name, path)
    return adapters.list
  }

  unloadLora(name: string): AdapterInfo[] {
    const adapters = this.#requireAdapters()
    adapters.unload(name)
    return adapters.list
  }

  #requireAdapters(): Adapters {
    if (this.#adapters) return this.#adapters
    throw new SlipwayError('request', 'the engine was started without room for adapters; set enableLora', {
      param: 'enableLora',
    })
  }

  state(): EngineState {
    const asleep = wakeTags.filter((tag) => (tag === 'weights' ? this.#weights !== 'awake' : this.#isCacheAsleep))
    return { isPaused: this.#isPaused, isSleeping: asleep.length > 0, asleep }
  }

  /**
   * New requests wait from now on. With `wait` it returns when those under way have ended, with `abort` and `keep` within
   * a step; those that are kept go on at `resume` to the same bits.
   */
  async pause(mode: PauseMode, clearCache = false): Promise<EngineState> {
    const engine = this.#engine
    if (mode === 'wait' && this.state().isSleeping)
      throw new SlipwayError('request', 'the engine sleeps, so nothing it keeps can end; wake it first', {
        code: 'sleeping',
      })
    this.#isPaused = true
    this.#resumesOnWake = false
    engine.hold()
    if (mode === 'abort') this.#onOutputs(engine.abortAll('abort'))
    if (mode === 'wait') {
      // what an earlier pause has kept ends as well
      engine.thaw()
      await engine.drained()
    } else engine.freeze()
    // resumed while it waited
    if (!this.#isPaused) return this.state()
    await engine.exclusively(async () => {
      engine.freeze()
      if (clearCache) this.resetPrefixCache()
    })
    return this.state()
  }

  resume(): EngineState {
    if (this.state().isSleeping)
      throw new SlipwayError('request', 'the engine sleeps; wake it instead of resuming it', { code: 'sleeping' })
    this.#isPaused = false
    this.#resumesOnWake = false
    this.#engine.release()
    return this.state()
  }

  /**
   * Gives the memory of weights and of keys and values back to the system. After level 1 waking reads the same weights
   * again; at level 2 they are given up, and `updateWeights` has to bring others. Adapters keep their memory. Pauses first,
   * if nobody has.
   */
  async sleep(level: 1 | 2, mode: PauseMode): Promise<EngineState> {
    if (!this.#isPaused) {
      await this.pause(mode)
      this.#resumesOnWake = true
    }
    await this.#engine.exclusively(async () => {
      if (!this.#isPaused) throw new SlipwayError('request', 'the engine was resumed before it could sleep')
      if (!this.#isCacheAsleep) await this.#model.releaseCache()
      this.#isCacheAsleep = true
      if (this.#weights === 'awake') await this.#model.releaseWeights()
      if (this.#weights !== 'discarded') this.#weights = level === 1 ? 'released' : 'discarded'
    })
    return this.state()
  }

  /** Brings back what sleeps, all or some of it. Once nothing sleeps, an engine that `sleep` has paused resumes. */
  async wake(tags: readonly WakeTag[] = wakeTags): Promise<EngineState> {
    await this.#engine.exclusively(async () => {
      if (tags.includes('weights') && this.#weights === 'discarded')
        throw new SlipwayError(
          'request',
          'sleep level 2 has given the weights up; bring some by update_weights first',
          {
            code: 'no_weights',
          },
        )
      if (tags.includes('weights') && this.#weights === 'released') {
        await this.#model.restoreWeights()
        this.#weights = 'awake'
      }
      // memory comes as blocks are written
      if (tags.includes('kv_cache')) this.#isCacheAsleep = false
    })
    if (this.#resumesOnWake && !this.state().isSleeping) return this.resume()
    return this.state()
  }

  /**
   * Takes the weights of another checkpoint with the same config, by default again those of the present directory.
   * Requests under way stand still meanwhile, and go on with the new weights; cached prefixes are forgotten. If it
   * fails, all is as before. Unless the engine sleeps, both weights are in memory for a moment.
   */
  async updateWeights(directory = this.#model.directory): Promise<ModelInfo> {
    return this.#engine.exclusively(async () => {
      const info = await this.#model.replaceWeights(directory)
      this.#weights = 'awake'
      return info
    })
  }

  resetPrefixCache(): void {
    this.#engine.resetPrefixCache()
  }
}

/** The commands that the front may call. */
export const controlMethods = [
  'stats',
  'snapshot',
  'loadLora',
  'unloadLora',
  'state',
  'pause',
  'resume',
  'sleep',
  'wake',
  'updateWeights',
  'resetPrefixCache',
] as const satisfies readonly (keyof ControlPlane)[]
export type ControlMethod = (typeof controlMethods)[number]
