import { OutputCollector, type OutputDelta, type ParsedOutput, type TextParser, type ToolSchema } from './deltas.ts'
import type { ReasoningFormat } from './reasoning/reasoning-format.ts'
import { ReasoningParser, type ReasoningDelta } from './reasoning/reasoning-parser.ts'
import { ParserRegistry } from './registry.ts'
import type { ToolFormat } from './tools/tool-format.ts'
import type { ToolDelta } from './tools/tool-parser.ts'

export interface OutputParserOptions {
  /** Name of a format, or the format itself; without one nothing is reasoning. */
  readonly reasoning?: string | ReasoningFormat | undefined
  /** Name of a format, or the format itself; without one nothing is a tool call. */
  readonly tools?: string | ToolFormat | undefined
  /** The tools of the request: their schemas decide the types of arguments that are written as plain text. */
  readonly toolSchemas?: readonly ToolSchema[] | undefined
  /** Whether the prompt leaves the reasoning open; undefined leaves it to the format. See `endsInThinking`. */
  readonly promptEndsInThinking?: boolean | undefined
  readonly registry?: ParserRegistry | undefined
  /** Makes the ids of calls; default: random ones in the form that the format wants. */
  readonly newToolCallId?: (() => string) | undefined
}

/**
 * Separates the text of one answer into reasoning, content and tool calls as it comes. All deltas together are the same
 * however the text was split. No text makes it throw: what is malformed stays content.
 */
export class OutputParser implements TextParser<OutputDelta> {
  readonly #reasoning: ReasoningParser | undefined
  readonly #tools: TextParser<ToolDelta> | undefined

  constructor(options: OutputParserOptions) {
    const { toolSchemas = [], registry = ParserRegistry.builtIn(), promptEndsInThinking } = options
    const reasoning = typeof options.reasoning === 'string' ? registry.reasoning(options.reasoning) : options.reasoning
    const tools = typeof options.tools === 'string' ? registry.tools(options.tools) : options.tools
    this.#reasoning = reasoning && new ReasoningParser(reasoning, promptEndsInThinking)
    this.#tools = tools?.newParser(toolSchemas, options.newToolCallId ?? (() => tools.newId()))
  }

  push(text: string): OutputDelta {
    return this.#withTools(this.#reasoning ? this.#reasoning.push(text) : { content: text }, false)
  }

  finish(): OutputDelta {
    return this.#withTools(this.#reasoning?.finish() ?? {}, true)
  }

  #withTools({ reasoning, content = '' }: ReasoningDelta, isEnd: boolean): OutputDelta {
    const parts: ToolDelta[] = this.#tools
      ? [this.#tools.push(content), ...(isEnd ? [this.#tools.finish()] : [])]
      : [{ content }]
    const text = parts.map((part) => part.content ?? '').join('')
    const toolCalls = parts.flatMap((part) => part.toolCalls ?? [])
    return {
      ...(reasoning !== undefined && { reasoning }),
      ...(text !== '' && { content: text }),
      ...(toolCalls.length > 0 && { toolCalls }),
    }
  }
}

/** The parts of a whole answer. */
export function parseOutput(text: string, options: OutputParserOptions): ParsedOutput {
  const parser = new OutputParser(options)
  const collector = new OutputCollector()
  collector.add(parser.push(text))
  collector.add(parser.finish())
  return collector.output
}
