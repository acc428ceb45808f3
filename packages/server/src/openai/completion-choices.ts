import type { Tokenizer } from '@slipway/checkpoint'
import type { ChosenLogprob, CompletionOutput } from '@slipway/engine'
import type { CompletionRequest } from './completion-schema.ts'
import { apiFinishReason } from './generations.ts'
import { CompletionLogprobsWriter, type CompletionLogprobs } from './logprobs.ts'

export interface CompletionChoice<Reason> {
  /** Place of the prompt times `n`, plus the place among its completions. */
  readonly index: number
  readonly text: string
  readonly logprobs: CompletionLogprobs | null
  readonly finish_reason: Reason
}

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
  ): CompletionChoice<'stop' | 'length'> {
    const place = this.place(prompt, index)
    return {
      index: place,
      text: this.echo(prompt) + text,
      logprobs: logprobs ? this.logprobs(place, logprobs) : null,
      finish_reason: apiFinishReason(finishReason),
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
    const writer = this.#writers.get(place) ?? this.#newWriter()
    this.#writers.set(place, writer)
    return writer.write(entries)
  }

  #newWriter(): CompletionLogprobsWriter {
    const skipSpecialTokens = this.#request.skip_special_tokens ?? true
    return new CompletionLogprobsWriter(this.#tokenizer, { skipSpecialTokens })
  }
}
