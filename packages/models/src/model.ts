import type { ModelConfig } from '@slipway/checkpoint'
import type { KvCache, Tensor } from '@slipway/tensor'

/** The rows of one step: R tokens of S sequences, in any mixture of prefill and decode. All tensors are i32. */
export interface ModelBatch {
  /** Token ids [R]. */
  readonly ids: Tensor
  /** Position of each token within its sequence [R], from 0. */
  readonly positions: Tensor
  /** Which row of `blockTables` each token belongs to [R]. */
  readonly sequences: Tensor
  /** Where each token's key and value are stored [R]: block * blockSize + offset. */
  readonly slots: Tensor
  /** Blocks of each sequence in order [S, B]. */
  readonly blockTables: Tensor
  /** Rows whose next-token logits are wanted; undefined: none. */
  readonly logits: LogitRows | undefined
}

/** L rows of a step, with what the last layer needs to go on with them alone. All [L], i32. */
export interface LogitRows {
  readonly rows: Tensor
  readonly positions: Tensor
  readonly sequences: Tensor
}

/** A loaded model. It owns its weights; the caches belong to the engine. */
export interface LanguageModel {
  readonly config: ModelConfig
  readonly numParameters: number
  /** Records one step and returns the logits, f32 [L, vocabSize]; undefined when no rows are asked for. */
  forward(batch: ModelBatch, caches: readonly KvCache[]): Tensor | undefined
}
