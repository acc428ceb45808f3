import type { Tokenizer } from '@slipway/checkpoint'
import type { ChosenLogprob, CompletionOutput, PromptLogprobs, RequestOutput } from '@slipway/engine'
import type { Completion, CompletionLogprobs } from './answers.ts'
import type { CompletionRequest } from './completion-schema.ts'
import { apiFinishReason } from './generations.ts'
import { apiPromptLogprobs, CompletionLogprobsWriter } from './logprobs.ts'

/** Forms the choices of one request as it wants them. */
export class CompletionChoices {
  readonly #tokenizer: Tokenizer
  readonly #request: CompletionRequest
  readonly #writers = new Map<number, CompletionLogprobsWriter>()

  constructor(tokenizer: Tokenizer, request: CompletionRequest) {
    this.#tokenizer = tokenizer
    this.#request = request
  }

  /** A whole choice. */
  choice(
    prompt: number,
    { index, text, logprobs, finishReason }: CompletionOutput,
    { promptTokenIds, promptLogprobs }: RequestOutput,
  ): Completion['choices'][number] {
    const place = this.place(prompt, index)
    const { echo, max_tokens, prompt_logprobs } = this.#request
    // the engine generates at least one token; who wants none does not see it
    const isEchoOnly = max_tokens === 0
    const isWithPrompt = echo && logprobs && promptLogprobs
    const before = isWithPrompt ? this.promptLogprobs(place, promptTokenIds, promptLogprobs) : undefined
    const after = logprobs && !isEchoOnly ? this.logprobs(place, logprobs) : undefined
    return {
      index: place,
      text: this.echo(prompt) + (isEchoOnly ? '' : text),
      logprobs: before && after ? joined(before, after) : (before ?? after ?? null),
      finish_reason: isEchoOnly ? 'length' : apiFinishReason(finishReason),
      ...(prompt_logprobs !== undefined && promptLogprobs && { prompt_logprobs: apiPromptLogprobs(promptLogprobs) }),
    }
  }

  place(prompt: number, index: number): number {
    return prompt * (this.#request.n ?? 1) + index
  }

  /** The prompt's text if it is to be given back. */
  echo(prompt: number): string {
    const given = this.#request.prompt[prompt]!
    if (!this.#request.echo) return ''
    return typeof given === 'string' ? given : this.#tokenizer.decode(given)
  }

  /** By place. */
  echoes(): string[] {
    const { n = 1 } = this.#request
    return this.#request.prompt.flatMap((_, prompt) => Array.from({ length: n }, () => this.echo(prompt)))
  }

  /** The next piece of the log-probabilities of a choice. */
  logprobs(place: number, entries: readonly ChosenLogprob[]): CompletionLogprobs {
    return this.#writer(place).write(entries)
  }

  /** Those of an echoed prompt, which come first. */
  promptLogprobs(place: number, ids: readonly number[], entries: PromptLogprobs): CompletionLogprobs {
    return this.#writer(place).writePrompt(ids, entries)
  }

  #writer(place: number): CompletionLogprobsWriter {
    const skipSpecialTokens = this.#request.skip_special_tokens ?? true
    const writer = this.#writers.get(place) ?? new CompletionLogprobsWriter(this.#tokenizer, { skipSpecialTokens })
    this.#writers.set(place, writer)
    return writer
  }
}

function joined(a: CompletionLogprobs, b: CompletionLogprobs): CompletionLogprobs {
  return {
    tokens: [...a.tokens, ...b.tokens],
    token_logprobs: [...a.token_logprobs, ...b.token_logprobs],
    top_logprobs: [...a.top_logprobs, ...b.top_logprobs],
    text_offset: [...a.text_offset, ...b.text_offset],
  }
}
