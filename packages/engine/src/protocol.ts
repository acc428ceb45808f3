import type { WireError } from '@slipway/tensor'
import type { AdapterInfo } from './adapters.ts'
import type { EngineStats, StepOutput } from './engine.ts'
import type { ResolvedEngineOptions } from './options.ts'
import type { EngineRequest } from './sequence.ts'
import type { EngineSnapshot } from './snapshot.ts'

/** What a loaded model is, as the front needs to know it. */
export interface ModelInfo {
  /** Name or path as given by the user. */
  readonly model: string
  readonly directory: string
  readonly architecture: string
  readonly numParameters: number
  readonly vocabSize: number
  readonly maxModelLen: number
  readonly device: string
  readonly dtype: string
  readonly quantization: string | null
  readonly headQuantization: string | null
  readonly kvCacheDtype: string
  readonly blockSize: number
  readonly numBlocks: number
  /** Tokens that the KV cache holds: numBlocks * blockSize. */
  readonly kvCacheTokens: number
  readonly kvCacheBytes: number
  /** Names of the plugins that requests may ask for. */
  readonly logitsProcessors: readonly string[]
  readonly loadSeconds: number
  /** Whether the weights were read as an earlier start had packed them. */
  readonly fromPackedCache: boolean
}

export interface LoadProgress {
  readonly stage: 'download' | 'weights'
  readonly file?: string
  readonly done: number
  readonly total: number
}

/** Given to the worker when it starts. */
export interface WorkerSetup {
  readonly model: string
  readonly directory: string
  readonly options: ResolvedEngineOptions
}

/** What the front may ask; answered between two steps. */
export interface Answers {
  readonly stats: EngineStats
  readonly snapshot: EngineSnapshot
}

/** Front to worker. */
export type Command =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly requestId: string; readonly index?: number }
  | { readonly type: 'ask'; readonly id: number; readonly about: keyof Answers }
  | { readonly type: 'resetPrefixCache' }
  | { readonly type: 'loadLora'; readonly id: number; readonly name: string; readonly path: string }
  | { readonly type: 'unloadLora'; readonly id: number; readonly name: string }
  | { readonly type: 'close' }

export type LoraCommand = Extract<Command, { type: 'loadLora' | 'unloadLora' }>

/** Worker to front. One `step` message carries all new tokens of a step. */
export type Report =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'ready'; readonly info: ModelInfo }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'step'; readonly outputs: readonly StepOutput[]; readonly error?: WireError }
  | { readonly type: 'answer'; readonly id: number; readonly answer: Answers[keyof Answers] }
  /** Answers loadLora and unloadLora: what there is now, and why nothing was changed. */
  | {
      readonly type: 'adapters'
      readonly id: number
      readonly adapters: readonly AdapterInfo[]
      readonly error?: WireError
    }
