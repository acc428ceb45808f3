import type { ModelConfig } from '@slipway/checkpoint'
import type { KvCache, Tensor } from '@slipway/tensor'
import type { LoraTables } from './lora-table.ts'

/** The rows of one step: R tokens of S sequences, in any mixture of prefill and decode. All tensors are i32. */
export interface ModelBatch {
  /** Token ids [R]. */
  readonly ids: Tensor
  /** Position of each token within its sequence [R], from 0. */
  readonly positions: Tensor
  /** Positions to rotate queries and keys by [R], where they are not `positions`. */
  readonly ropePositions?: Tensor | undefined
  /** Which row of `blockTables` each token belongs to [R]. */
  readonly sequences: Tensor
  /** Where each token's key and value are stored [R]: block * blockSize + offset. */
  readonly slots: Tensor
  /** Blocks of each sequence in order [S, B]. */
  readonly blockTables: Tensor
  /** Each token's adapter [R], a place of `LanguageModel.adapters`, or -1; undefined: no token has any. */
  readonly adapters?: Tensor | undefined
  /** Rows whose next-token logits are wanted; undefined: none. */
  readonly logits: LogitRows | undefined
}

/** L rows of a step, with what the last layer needs to go on with them alone. All [L], i32. */
export interface LogitRows {
  readonly rows: Tensor
  readonly positions: Tensor
  readonly sequences: Tensor
  /** Given when `ModelBatch.adapters` is. */
  readonly adapters?: Tensor | undefined
}

/** A loaded model. It owns its weights; the caches belong to the engine. */
export interface LanguageModel {
  readonly config: ModelConfig
  readonly numParameters: number
  /** Where adapters are put; undefined when it was loaded without room for any. */
  readonly adapters?: LoraTables | undefined
  /** Records one step and returns the logits, f32 [L, vocabSize]; undefined when no rows are asked for. */
  forward(batch: ModelBatch, caches: readonly KvCache[]): Tensor | undefined
}
