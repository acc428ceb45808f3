import { isDeepStrictEqual } from 'node:util'
import { readConfig, type ModelConfig } from '@slipway/checkpoint'
import type { LanguageModel } from '@slipway/models'
import { SlipwayError } from '@slipway/tensor'
import type { BlockPool } from './block-pool.ts'
import type { ModelControl } from './control-plane.ts'
import type { KvDiskCache } from './kv-disk-cache.ts'
import type { KvTier } from './kv-tier.ts'
import { weightsFingerprint } from './open-tier.ts'
import type { ModelInfo } from './protocol.ts'
import type { Runner } from './runner.ts'
import type { Scheduler } from './scheduler.ts'

/** Weights on the device. */
export interface LoadedWeights {
  readonly model: LanguageModel
  /** Gives their memory back; the model must not run any more. */
  release(): Promise<void>
}

interface Parts {
  readonly info: ModelInfo
  readonly weights: LoadedWeights
  readonly runner: Runner
  readonly scheduler: Scheduler
  readonly pool: BlockPool
  readonly tier: KvTier | undefined
  /** Puts the weights of a directory onto the device, beside those that are there. */
  readonly load: (directory: string) => Promise<LoadedWeights>
  /** The files of blocks that belong to the weights of a directory. */
  readonly openDisk: (directory: string) => Promise<KvDiskCache | undefined>
}

/** The engine's weights and caches, as the control plane handles them: given back, restored, replaced. */
export class LoadedModel implements ModelControl {
  readonly #parts: Parts
  #weights: LoadedWeights
  #info: ModelInfo
  /** What the files of the weights were when they were read. */
  #fingerprint: string

  constructor(parts: Parts) {
    this.#parts = parts
    this.#weights = parts.weights
    this.#info = parts.info
    this.#fingerprint = weightsFingerprint(parts.info.directory)
  }

  get directory(): string {
    return this.#info.directory
  }

  async releaseWeights(): Promise<void> {
    await this.#weights.release()
  }

  async restoreWeights(): Promise<void> {
    if (weightsFingerprint(this.directory) !== this.#fingerprint)
      throw new SlipwayError(
        'checkpoint',
        `${this.directory}: the weights have changed while the engine slept; take them by update_weights`,
        { status: 409, code: 'weights_changed' },
      )
    this.#use(await this.#parts.load(this.directory))
  }

  async replaceWeights(directory: string): Promise<ModelInfo> {
    const { runner, pool, scheduler, tier, load, openDisk } = this.#parts
    const config = await readConfig(directory)
    requireSame(this.#weights.model.config, config, directory)
    const fingerprint = weightsFingerprint(directory)
    const weights = await load(directory)
    const old = this.#weights
    try {
      const disk = await openDisk(directory)
      await tier?.settled()
      tier?.useDisk(disk)
    } catch (error) {
      await weights.release()
      throw error
    }
    // from here on nothing fails
    scheduler.preemptAll()
    pool.reset()
    this.#use(weights)
    this.#fingerprint = fingerprint
    this.#info = { ...this.#info, directory, updatedWeights: fingerprint.slice(0, 16) }
    await old.release()
    runner.release()
    return this.#info
  }

  #use(weights: LoadedWeights): void {
    this.#weights = weights
    this.#parts.runner.useModel(weights.model)
  }

  async releaseCache(): Promise<void> {
    const { runner, pool, scheduler, tier } = this.#parts
    await tier?.settled()
    scheduler.preemptAll()
    pool.reset()
    tier?.clear()
    runner.release()
  }
}

/** Of config.json what says nothing of the model. */
const incidental = new Set(['_name_or_path', 'transformers_version', 'torch_dtype', 'dtype', 'use_cache'])

/** Refuses a checkpoint whose config asks for another model; names the first field that differs. */
function requireSame(present: ModelConfig, given: ModelConfig, directory: string): void {
  const [was, is] = [present, given].map(({ raw, ...fields }): Record<string, unknown> => ({ ...raw, ...fields }))
  const names = Object.keys({ ...was, ...is }).filter((name) => name in present || !incidental.has(name))
  const name = names.find((key) => !isDeepStrictEqual(was![key], is![key]))
  if (name === undefined) return
  const [asked, runs] = [is, was].map((fields) => JSON.stringify(fields![name]))
  throw new SlipwayError(
    'request',
    `${directory}: its config has ${name} ${asked}, that of the running model ${runs}; weights can only be replaced by ones of the same config`,
    { param: 'directory' },
  )
}
