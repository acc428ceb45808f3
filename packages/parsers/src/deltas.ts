/** A piece of a tool call. The first piece of a call carries its id and name. */
export interface ToolCallDelta {
  /** Place of the call among the calls of one answer. */
  readonly index: number
  readonly id?: string
  readonly name?: string
  /** The next piece of the arguments: all pieces so far are the beginning of a JSON object. */
  readonly argumentsDelta?: string
}

/** What a piece of output adds to the answer; a field that it adds nothing to is absent. */
export interface OutputDelta {
  readonly reasoning?: string
  readonly content?: string
  readonly toolCalls?: readonly ToolCallDelta[]
}

export interface ToolCall {
  readonly id: string
  readonly name: string
  /** JSON; its end may be missing where the output was cut off. */
  readonly arguments: string
}

/** A whole answer. */
export interface ParsedOutput {
  readonly reasoning: string
  readonly content: string
  readonly toolCalls: readonly ToolCall[]
}

/** A tool as the OpenAI API has it, as far as parsers look at it. */
export interface ToolSchema {
  readonly function: { readonly name: string; readonly parameters?: unknown }
}

/** Text in, deltas out. All deltas together are the same however the text was split. */
export interface TextParser<Delta> {
  push(text: string): Delta
  /** What was held back, when no more text comes. */
  finish(): Delta
}

/** Puts the deltas of one answer together. */
export class OutputCollector {
  #reasoning = ''
  #content = ''
  readonly #calls: { id: string; name: string; arguments: string }[] = []

  add({ reasoning = '', content = '', toolCalls = [] }: OutputDelta): void {
    this.#reasoning += reasoning
    this.#content += content
    for (const { index, id = '', name = '', argumentsDelta = '' } of toolCalls) {
      const call = (this.#calls[index] ??= { id: '', name: '', arguments: '' })
      call.id += id
      call.name += name
      call.arguments += argumentsDelta
    }
  }

  get output(): ParsedOutput {
    return { reasoning: this.#reasoning, content: this.#content, toolCalls: this.#calls }
  }
}
