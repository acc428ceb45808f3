import type { LLM } from '@slipway/engine'
import { deriveReasoning, deriveTools, ParserRegistry, type ReasoningFormat, type ToolFormat } from '@slipway/parsers'
import type { ResolvedServerOptions } from './options.ts'

/** How a model marks its reasoning and its tool calls; undefined where its output is taken as it is. */
export interface OutputFormats {
  readonly reasoning: ReasoningFormat | undefined
  readonly tools: ToolFormat | undefined
}

/**
 * The formats that the options name. `auto` looks at the chat template, once the model is there. A name that is not
 * known is a `request` error at once.
 */
export function createOutputFormats(
  llm: LLM,
  { reasoningParser, toolCallParser }: ResolvedServerOptions,
  registry = ParserRegistry.builtIn(),
): () => OutputFormats {
  const isNamed = (name: string): boolean => name !== 'auto' && name !== 'none'
  const reasoning = isNamed(reasoningParser) ? registry.reasoning(reasoningParser) : undefined
  const tools = isNamed(toolCallParser) ? registry.tools(toolCallParser) : undefined
  let formats: OutputFormats | undefined
  return () =>
    (formats ??= {
      reasoning: reasoningParser === 'auto' ? deriveReasoning(llm.chatTemplate) : reasoning,
      tools: toolCallParser === 'auto' ? deriveTools(llm.chatTemplate, registry)?.format : tools,
    })
}
