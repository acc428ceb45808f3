import { IncrementalDetokenizer, type Tokenizer } from '@slipway/checkpoint'
import type { ChosenLogprob, TokenLogprob } from '@slipway/engine'

interface TokenEntry {
  readonly token: string
  readonly logprob: number
  /** UTF-8 of the token; null for a part of a character, which is no text. */
  readonly bytes: number[] | null
}

/** `logprobs` of a chat choice. */
export interface ChatLogprobs {
  readonly content: (TokenEntry & { readonly top_logprobs: TokenEntry[] })[]
  readonly refusal: null
}

/** `logprobs` of a plain completion. */
export interface CompletionLogprobs {
  readonly tokens: string[]
  readonly token_logprobs: number[]
  readonly top_logprobs: Record<string, number>[]
  /** Where each token begins in the text given back, in characters (code points). */
  readonly text_offset: number[]
}

export function chatLogprobs(entries: readonly ChosenLogprob[]): ChatLogprobs {
  const content = entries.map((entry) => ({ ...tokenEntry(entry), top_logprobs: entry.top.map(tokenEntry) }))
  return { content, refusal: null }
}

function tokenEntry({ token, logprob }: TokenLogprob): TokenEntry {
  return { token, logprob, bytes: token.includes('\ufffd') ? null : [...Buffer.from(token)] }
}

/** Makes the `logprobs` of one completion, piece by piece. */
export class CompletionLogprobsWriter {
  readonly #detokenizer: IncrementalDetokenizer
  #offset = 0

  constructor(tokenizer: Tokenizer, { skipSpecialTokens }: { readonly skipSpecialTokens: boolean }) {
    this.#detokenizer = new IncrementalDetokenizer(tokenizer, { skipSpecialTokens })
  }

  write(entries: readonly ChosenLogprob[]): CompletionLogprobs {
    const logprobs: CompletionLogprobs = { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] }
    for (const { tokenId, token, logprob, top } of entries) {
      logprobs.tokens.push(token)
      logprobs.token_logprobs.push(logprob)
      logprobs.top_logprobs.push(byToken([...top, { tokenId, token, logprob }]))
      logprobs.text_offset.push(this.#offset)
      this.#offset += Array.from(this.#detokenizer.push(tokenId)).length
    }
    return logprobs
  }
}

/** Two tokens can have one text, such as two halves of characters: the more probable one stands. */
function byToken(entries: readonly TokenLogprob[]): Record<string, number> {
  const best = new Map<string, number>()
  for (const { token, logprob } of entries) if (!best.has(token)) best.set(token, logprob)
  return Object.fromEntries(best)
}
