import type { ModelConfig } from '@slipway/checkpoint'
import type { KvCache, LateRows, Tensor } from '@slipway/tensor'
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
  /** Rows whose next-token logits, or states, are wanted; undefined: none. */
  readonly logits: LogitRows | undefined
  /** For bidirectional models: the position of the last token of each token's text [R]. */
  readonly ends?: Tensor
  /** For bidirectional models: to which part of its text each token belongs [R], 0 where there is only one. */
  readonly typeIds?: Tensor
}

/** L rows of a step, with what the last layer needs to go on with them alone. All [L], i32. */
export interface LogitRows {
  readonly rows: Tensor
  /** Last position that each row sees: its own, or in bidirectional models the end of its text. */
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
  /** Embeddings that are not on the device yet: to be told the ids of every step before it is run. */
  readonly lateRows?: LateRows | undefined
  /**
   * Causal tokens see those before them; bidirectional ones see their whole text, which has to be in one step. Keys of
   * the latter are needed no longer than their layer, so all layers may share one cache.
   */
  readonly attention: 'causal' | 'bidirectional'
  /** Records one step and returns the logits, f32 [L, vocabSize]; undefined when no rows are asked for. */
  forward(batch: ModelBatch, caches: readonly KvCache[]): Tensor | undefined
  /** The same up to the last norm: the states of the rows, f32 [L, hiddenSize]. */
  states(batch: ModelBatch, caches: readonly KvCache[]): Tensor | undefined
  /** What classifies pooled states: [P, hiddenSize] -> [P, numLabels]; models without classes have none. */
  readonly head: Head | undefined
}

export interface Head {
  readonly numLabels: number
  apply(pooled: Tensor): Tensor
}

/** What a model is loaded for, which decides the head that is taken from the checkpoint. */
export type Purpose = 'generate' | 'embed' | 'classify'
