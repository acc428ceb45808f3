import type { WireError } from '@slipway/tensor'
import type { EngineStats, StepOutput } from './engine.ts'
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
  /** What the model does with texts that it does not continue; null when it generates. */
  readonly pooling: PoolingInfo | null
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

/** Front to worker. */
export type Command =
  | { readonly type: 'submit'; readonly request: EngineRequest }
  | { readonly type: 'abort'; readonly requestId: string; readonly index?: number }
  | { readonly type: 'stats'; readonly id: number }
  | { readonly type: 'resetPrefixCache' }
  | { readonly type: 'close' }

/** Worker to front. One `step` message carries all new tokens of a step. */
export type Report =
  | { readonly type: 'progress'; readonly progress: LoadProgress }
  | { readonly type: 'ready'; readonly info: ModelInfo }
  | { readonly type: 'failed'; readonly error: WireError }
  | { readonly type: 'step'; readonly outputs: readonly StepOutput[]; readonly error?: WireError }
  | { readonly type: 'stats'; readonly id: number; readonly stats: EngineStats }
