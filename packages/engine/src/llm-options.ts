import type { SlipwayError } from '@slipway/tensor'
import type { EngineOptions } from './options.ts'
import type { LoadProgress } from './protocol.ts'

/** How a model is found, loaded and run. */
export interface LLMOptions extends EngineOptions {
  /** Branch, tag or commit on the hub. */
  readonly revision?: string
  readonly cacheDir?: string
  /** Never asks the network. */
  readonly offline?: boolean
  /** File with a Jinja chat template, in place of the model's own. */
  readonly chatTemplate?: string
  /** LoRA adapters to begin with: folders by name. Makes room for adapters as `enableLora` does. */
  readonly loraModules?: Readonly<Record<string, string>>
  readonly onProgress?: (progress: LoadProgress) => void
  /**
   * Told when the engine's thread has died and is started again, how often it was by now, and at last when that is given up;
   * default: a warning of the process.
   */
  readonly onEngineCrash?: (reason: SlipwayError, numRestarts: number) => void
}
