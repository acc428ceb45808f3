import { IncrementalDetokenizer, type DecodeOptions, type Tokenizer } from '@slipway/checkpoint'
import {
  OutputParser,
  ReasoningCounter,
  type OutputDelta,
  type ReasoningFormat,
  type ToolFormat,
  type ToolSchema,
} from '@slipway/parsers'

export interface AnswerOptions {
  readonly tokenizer: Tokenizer
  readonly decode: DecodeOptions
  readonly reasoning: ReasoningFormat | undefined
  /** Whether the prompt leaves the reasoning open; undefined where it does not say. */
  readonly promptEndsInThinking: boolean | undefined
  readonly toolFormat: ToolFormat | undefined
  readonly tools: readonly ToolSchema[]
}

/** One choice as it comes: its parts, and how many of its tokens were reasoning. */
export class ChatAnswer {
  readonly #parser: OutputParser
  readonly #counter: ReasoningCounter | undefined
  readonly #detokenizer: IncrementalDetokenizer
  #hasToolCalls = false

  constructor({ tokenizer, decode, reasoning, promptEndsInThinking, toolFormat, tools }: AnswerOptions) {
    this.#parser = new OutputParser({ reasoning, tools: toolFormat, toolSchemas: tools, promptEndsInThinking })
    this.#counter = reasoning && new ReasoningCounter(reasoning, promptEndsInThinking)
    this.#detokenizer = new IncrementalDetokenizer(tokenizer, decode)
  }

  /** Undefined for a model that does not reason. */
  get reasoningTokens(): number | undefined {
    return this.#counter?.numTokens
  }

  get hasToolCalls(): boolean {
    return this.#hasToolCalls
  }

  push(text: string, tokenIds: readonly number[]): OutputDelta {
    // a step's text may be that of several tokens, and held back; each one is counted by its own
    if (this.#counter) for (const id of tokenIds) this.#counter.push(this.#detokenizer.push(id))
    return this.#see(this.#parser.push(text))
  }

  finish(): OutputDelta {
    return this.#see(this.#parser.finish())
  }

  #see(delta: OutputDelta): OutputDelta {
    this.#hasToolCalls ||= delta.toolCalls !== undefined
    return delta
  }
}
