import { IncrementalDetokenizer, type Tokenizer } from '@slipway/checkpoint'
import type { ChosenLogprob, PromptLogprobs, TokenLogprob } from '@slipway/engine'
import type { ApiPromptLogprobs, ChatLogprobs, CompletionLogprobs } from './answers.ts'

export function chatLogprobs(entries: readonly ChosenLogprob[]): ChatLogprobs {
  const content = entries.map((entry) => ({ ...tokenEntry(entry), top_logprobs: entry.top.map(tokenEntry) }))
  return { content, refusal: null }
}

function tokenEntry({ token, logprob }: TokenLogprob): Omit<ChatLogprobs['content'][number], 'top_logprobs'> {
  return { token, logprob, bytes: token.includes('\ufffd') ? null : [...Buffer.from(token)] }
}

/** `prompt_logprobs` as vLLM gives them: by token id, the prompt's own and the best. */
export function apiPromptLogprobs(entries: PromptLogprobs): ApiPromptLogprobs {
  return entries.map((entry) => {
    if (!entry) return null
    const top = entry.top.map((other, i) => ({ ...other, rank: i + 1 }))
    return Object.fromEntries(
      [...top, entry].map(({ tokenId, logprob, rank, token }) => [tokenId, { logprob, rank, decoded_token: token }]),
    )
  })
}

/** Makes the `logprobs` of one completion, piece by piece. */
export class CompletionLogprobsWriter {
  readonly #tokenizer: Tokenizer
  readonly #detokenizer: IncrementalDetokenizer
  #offset = 0

  constructor(tokenizer: Tokenizer, { skipSpecialTokens }: { readonly skipSpecialTokens: boolean }) {
    this.#tokenizer = tokenizer
    this.#detokenizer = new IncrementalDetokenizer(tokenizer, { skipSpecialTokens })
  }

  write(entries: readonly ChosenLogprob[]): CompletionLogprobs {
    const tops = entries.map((entry) => byToken([...entry.top, entry]))
    return this.#write(entries, tops)
  }

  /** The log-probabilities of the prompt `ids`, before anything else is written. */
  writePrompt(ids: readonly number[], entries: PromptLogprobs): CompletionLogprobs {
    const textOf = (id: number): string => this.#tokenizer.decode([id], { skipSpecialTokens: false })
    return this.#write(
      entries.map((entry, i) => entry ?? { tokenId: ids[i]!, token: textOf(ids[i]!), logprob: null }),
      entries.map((entry) => entry && byToken([...entry.top, entry])),
    )
  }

  #write(
    entries: readonly { readonly tokenId: number; readonly token: string; readonly logprob: number | null }[],
    top_logprobs: (Record<string, number> | null)[],
  ): CompletionLogprobs {
    const text_offset = entries.map(({ tokenId }) => {
      const offset = this.#offset
      this.#offset += Array.from(this.#detokenizer.push(tokenId)).length
      return offset
    })
    return {
      tokens: entries.map(({ token }) => token),
      token_logprobs: entries.map(({ logprob }) => logprob),
      top_logprobs,
      text_offset,
    }
  }
}

/** Two tokens can have one text, such as two halves of characters: the more probable one stands. */
function byToken(entries: readonly TokenLogprob[]): Record<string, number> {
  const best = new Map<string, number>()
  for (const { token, logprob } of entries) if (!best.has(token)) best.set(token, logprob)
  return Object.fromEntries(best)
}
