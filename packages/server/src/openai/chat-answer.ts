import { IncrementalDetokenizer, type DecodeOptions, type Tokenizer } from '@slipway/checkpoint'
import {
  endsInThinking,
  OutputParser,
  ReasoningCounter,
  type OutputDelta,
  type ReasoningFormat,
  type ToolCallDelta,
  type ToolFormat,
} from '@slipway/parsers'
import type { Tool } from './tools.ts'

export interface AnswerOptions {
  readonly tokenizer: Tokenizer
  readonly decode: DecodeOptions
  readonly prompt: readonly number[]
  readonly reasoning: ReasoningFormat | undefined
  readonly toolFormat: ToolFormat | undefined
  readonly tools: readonly Tool[]
}

/** `tool_calls` of a message. */
export interface ApiToolCall {
  readonly id: string
  readonly type: 'function'
  readonly function: { readonly name: string; readonly arguments: string }
}

/** `tool_calls` of a chunk; what identifies a call comes with its first piece. */
export interface ApiToolCallDelta {
  readonly index: number
  readonly id?: string
  readonly type?: 'function'
  readonly function: { readonly name?: string; readonly arguments: string }
}

/** One choice as it comes: its parts, and how many of its tokens were reasoning. */
export class ChatAnswer {
  readonly #parser: OutputParser
  readonly #counter: ReasoningCounter | undefined
  readonly #detokenizer: IncrementalDetokenizer
  #hasToolCalls = false

  constructor({ tokenizer, decode, prompt, reasoning, toolFormat, tools }: AnswerOptions) {
    const promptEndsInThinking = reasoning && endsInThinking(reasoning, endOf(prompt, tokenizer))
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

/** Tags at the end of a prompt take fewer tokens than this. */
const numTailTokens = 64

function endOf(prompt: readonly number[], tokenizer: Tokenizer): string {
  return tokenizer.decode(prompt.slice(-numTailTokens), { skipSpecialTokens: false })
}

export function apiToolCallDelta({ index, id, name, argumentsDelta = '' }: ToolCallDelta): ApiToolCallDelta {
  return {
    index,
    ...(id !== undefined && { id, type: 'function' as const }),
    function: { ...(name !== undefined && { name }), arguments: argumentsDelta },
  }
}

/** Ids of the markers that a tokenizer would leave out as special tokens. */
export function specialMarkers(
  tokenizer: Tokenizer,
  reasoning: ReasoningFormat | undefined,
  tools: ToolFormat | undefined,
): number[] {
  const tags = reasoning ? [reasoning.start, reasoning.end, reasoning.answer?.start, reasoning.answer?.end] : []
  const ids = [...tags, ...(tools?.markers ?? [])].map((text) =>
    text === undefined ? undefined : tokenizer.tokenToId(text),
  )
  return ids.filter((id) => id !== undefined && tokenizer.isSpecial(id)) as number[]
}
