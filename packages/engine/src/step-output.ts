import type { WireError } from '@slipway/tensor'
import type { FinishReason } from './outputs.ts'
import type { PooledValues } from './pooling/row-pool.ts'
import type { RawLogprobs } from './runner.ts'
import type { Sequence } from './sequence.ts'

/** What one step brought for one sequence. */
export interface StepOutput {
  readonly requestId: string
  readonly index: number
  /** The new token, and those that had to follow it; none when the sequence ended without one. */
  readonly tokenIds: readonly number[]
  readonly logprobs?: readonly RawLogprobs[]
  /** Of the prompt's tokens from the second on, where they are asked for; with the first token of completion 0. */
  readonly promptLogprobs?: readonly RawLogprobs[]
  /** The result of a text that is not continued, at its end. */
  readonly pooled?: PooledValues
  /** With a sequence's first token: how many tokens of its prompt the prefix cache had. */
  readonly numCachedTokens?: number
  /** With it too: milliseconds that it waited, and those from there to the token. */
  readonly queuedMs?: number
  readonly prefillMs?: number
  /** Of a beam, which comes whole: log-probability / length ** lengthPenalty. */
  readonly score?: number
  readonly finish?: { readonly reason: FinishReason; readonly stopReason: string | number | null }
  /** Why it ended with `error`, where that is known of this request alone. */
  readonly error?: WireError
}

/** What is told with a sequence's first token; `now` in milliseconds of the engine's clock. */
export function firstTokenFacts(sequence: Sequence, now: number): Partial<StepOutput> {
  const { numCached = 0, addedAt, startedAt = addedAt, numPromptLogprobs, promptLogprobs } = sequence
  return {
    numCachedTokens: numCached,
    queuedMs: startedAt - addedAt,
    prefillMs: now - startedAt,
    ...(numPromptLogprobs !== undefined && { promptLogprobs }),
  }
}

export interface EngineStats {
  readonly running: number
  readonly waiting: number
  readonly freeBlocks: number
  readonly cachedBlocks: number
  readonly ownedBlocks: number
  readonly totalBlocks: number
  readonly blockSize: number
  readonly numPreemptions: number
  /** Tokens of requests when they first ran, and how many of these the prefix cache had. */
  readonly numQueriedTokens: number
  readonly numCachedTokens: number
  /** Blocks that came from disk or host memory. */
  readonly numFetchedBlocks: number
  /** Blocks that were evicted into host memory. */
  readonly numParkedBlocks: number
  readonly numSteps: number
  /** Tokens run through the model: of prompts, and generated ones. */
  readonly numComputedTokens: number
  readonly numGeneratedTokens: number
  /** Sequences that have got their first token, and the sum of their times to it, in milliseconds. */
  readonly numFirstTokens: number
  readonly sumTimeToFirstToken: number
  readonly residentBytes: number
  /** Of the objects in the engine's thread. */
  readonly heapBytes: number
}
