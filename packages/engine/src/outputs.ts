/** Why a generation ended. Every request ends exactly once (HOUSE.md, contract 5). */
export type FinishReason = 'stop' | 'length' | 'abort' | 'timeout' | 'error'

/** One token that could have been, or was, chosen. */
export interface TokenLogprob {
  readonly tokenId: number
  /** Text of this token alone; half a character shows as U+FFFD. */
  readonly token: string
  /** Natural log of the model's own probability, before temperature and penalties. */
  readonly logprob: number
}

export interface ChosenLogprob extends TokenLogprob {
  /** 1 is the most probable token. */
  readonly rank: number
  /** The best `params.logprobs` tokens, best first. */
  readonly top: readonly TokenLogprob[]
}

export interface Usage {
  readonly promptTokens: number
  readonly completionTokens: number
  /** Tokens of the prompt that were not computed, because the prefix cache had them. */
  readonly cachedTokens: number
}

/** Of every token of a prompt; null for the first, which nothing comes before. */
export type PromptLogprobs = readonly (ChosenLogprob | null)[]

/** What a stream carries. `index` tells the completions of one prompt apart when `n` > 1. */
export type GenerationEvent =
  /** First, where `params.promptLogprobs` asks for it. */
  | { readonly type: 'prompt'; readonly logprobs: PromptLogprobs }
  | {
      readonly type: 'delta'
      readonly index: number
      readonly text: string
      readonly tokenIds: readonly number[]
      readonly logprobs?: readonly ChosenLogprob[]
    }
  | {
      readonly type: 'finish'
      readonly index: number
      readonly finishReason: FinishReason
      /** The stop string or stop token id that ended it; null for end of text and other reasons. */
      readonly stopReason: string | number | null
      /** Of a beam search. */
      readonly score?: number
    }
  /** Last event of a stream. */
  | { readonly type: 'usage'; readonly usage: Usage }

export interface CompletionOutput {
  readonly index: number
  readonly text: string
  readonly tokenIds: readonly number[]
  readonly logprobs?: readonly ChosenLogprob[]
  /** Sum over the tokens; only with log-probabilities, or where the best of several were chosen by it. */
  readonly cumulativeLogprob?: number
  /** Of a beam search: log-probability in all / length ** lengthPenalty. */
  readonly score?: number
  readonly finishReason: FinishReason
  readonly stopReason: string | number | null
}

/** The whole result for one prompt. */
export interface RequestOutput {
  readonly requestId: string
  readonly promptTokenIds: readonly number[]
  readonly promptLogprobs?: PromptLogprobs
  readonly outputs: readonly CompletionOutput[]
  readonly usage: Usage
}
