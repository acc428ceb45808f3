import type { WireError } from '@slipway/tensor'
import type { ControlMethod } from './control-plane.ts'
import type { StepOutput } from './engine.ts'
import type { ResolvedEngineOptions } from './options.ts'
import type { PoolingInfo } from './pooling/pooling-params.ts'
import type { EngineRequest } from './sequence.ts'

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
  /** What the model does with texts that it does not continue; null when it generates. */
  readonly pooling: PoolingInfo | null
  readonly loadSeconds: number
  /** Whether the weights were read as an earlier start had packed them. */
  readonly fromPackedCache: boolean
  /** Names the weights' files once others than those of the start were taken; until then null. */
  readonly updatedWeights: string | null
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

/** Front to worker. */
export type Command =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly requestId: string; readonly index?: number }
  | { readonly type: 'control'; readonly id: number; readonly method: ControlMethod; readonly args: readonly unknown[] }
  | { readonly type: 'close' }

/** Worker to front. One `step` message carries all new tokens of a step. */
export type Report =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'ready'; readonly info: ModelInfo }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'step'; readonly outputs: readonly StepOutput[]; readonly error?: WireError }
  | ControlReport

/** The answer to a `control`. */
export type ControlReport =
  | { readonly type: 'control'; readonly id: number; readonly result: unknown; readonly error?: never }
  | { readonly type: 'control'; readonly id: number; readonly error: WireError }
