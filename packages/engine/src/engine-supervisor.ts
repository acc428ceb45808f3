import { setTimeout as after } from 'node:timers/promises'
import { SlipwayError } from '@slipway/tensor'
import { EngineClient } from './client.ts'
import type { LoadProgress, ModelInfo, WorkerSetup } from './protocol.ts'

/** Loads in a row that may fail before no more are tried. */
const maxFailedLoads = 5
/** Milliseconds before the second try in a row; doubled for every further one. */
const firstPause = 100
const longestPause = 5000
/** An engine that lived that many milliseconds was well: the next one is started at once. */
const healthyAge = 1000

/**
 * Keeps an engine at work: when its thread dies, for whatever reason, requests under way end with an error and another
 * thread is started with the same set-up. A first load that fails is not tried again, since somebody waits for the reason.
 */
export class EngineSupervisor {
  readonly ready: Promise<ModelInfo>
  #setup: WorkerSetup
  readonly #onProgress: (progress: LoadProgress) => void
  readonly #onCrash: (reason: SlipwayError, numRestarts: number) => void
  readonly #restore: (client: EngineClient) => Promise<void>
  #client: EngineClient
  #failure: SlipwayError | undefined
  #isUp = false
  #isClosed = false
  /** Aborted by `close`, so that no pause holds it up. */
  readonly #closing = new AbortController()
  #restarting: Promise<void> | undefined
  numRestarts = 0

  /** `onCrash` is told why a thread died, before the next one is started; `restore` is given one that has started. */
  constructor(
    setup: WorkerSetup,
    onProgress: (progress: LoadProgress) => void,
    onCrash: (reason: SlipwayError, numRestarts: number) => void = warnOfCrash,
    restore: (client: EngineClient) => Promise<void> = async () => {},
  ) {
    this.#setup = setup
    this.#onProgress = onProgress
    this.#onCrash = onCrash
    this.#restore = restore
    this.#client = new EngineClient(setup, onProgress)
    this.ready = this.#client.ready.then((info) => {
      this.#watch(this.#client)
      return info
    })
    this.ready.catch((error: unknown) => (this.#failure = toSlipwayError(error)))
  }

  /** The engine of now. What it was given is lost to the next one. */
  get client(): EngineClient {
    return this.#client
  }

  /** Where the weights are that the next engine takes. */
  set directory(directory: string) {
    this.#setup = { ...this.#setup, directory }
  }

  get isRestarting(): boolean {
    return this.#restarting !== undefined
  }

  /** Why there will be no engine any more. */
  get failure(): SlipwayError | undefined {
    return this.#failure
  }

  #watch(client: EngineClient): void {
    this.#isUp = true
    const startedAt = performance.now()
    void client.exited.then(() => {
      this.#isUp = false
      if (this.#isClosed) return
      const isHealthy = performance.now() - startedAt >= healthyAge || client.hasWorked
      this.#restarting = this.#restart(client.failure, isHealthy).finally(() => (this.#restarting = undefined))
    })
  }

  /** Starts engines until one is ready, or too many in a row have failed. */
  async #restart(crash: SlipwayError | undefined, isHealthy: boolean): Promise<void> {
    let reason = crash ?? new SlipwayError('internal', 'the engine stopped')
    for (let numFailed = 0; numFailed < maxFailedLoads && !this.#isClosed; numFailed++) {
      this.numRestarts++
      this.#onCrash(reason, this.numRestarts)
      const numPauses = numFailed + (isHealthy ? 0 : 1)
      if (numPauses > 0 && !(await this.#pause(Math.min(longestPause, firstPause * 2 ** (numPauses - 1))))) return
      const client = new EngineClient(this.#setup, this.#onProgress)
      this.#client = client
      try {
        await client.ready
        await this.#restore(client)
        this.#watch(client)
        return
      } catch (error) {
        reason = toSlipwayError(error)
        await client.close()
      }
    }
    if (this.#isClosed) return
    this.#failure = new SlipwayError(
      'internal',
      `the engine failed to start ${maxFailedLoads} times: ${reason.message}`,
    )
    this.#onCrash(this.#failure, this.numRestarts)
  }

  /** False when it was cut short. */
  async #pause(milliseconds: number): Promise<boolean> {
    return after(milliseconds, true, { signal: this.#closing.signal }).catch(() => false)
  }

  /** Ends the engine's thread where it stands; requests under way end with an error, and another is started. */
  async kill(): Promise<void> {
    if (this.#isUp) await this.#client.kill()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#closing.abort()
    await this.#client.close()
    await this.#restarting
  }
}

function toSlipwayError(error: unknown): SlipwayError {
  return SlipwayError.is(error) ? error : SlipwayError.fromWire(SlipwayError.toWire(error))
}

function warnOfCrash(reason: SlipwayError, numRestarts: number): void {
  process.emitWarning(`the engine stopped (restarts: ${numRestarts}): ${reason.message}`, 'SlipwayWarning')
}
