import type { ChatTemplate } from '@slipway/checkpoint'
import { deriveReasoning, deriveTools, ParserRegistry, type ReasoningFormat, type ToolFormat } from '@slipway/parsers'
import { findSwitches, type ThinkingSwitches } from './thinking-switches.ts'

/** How a model marks its reasoning and its tool calls; undefined where its output is taken as it is. */
export interface OutputFormats {
  readonly reasoning: ReasoningFormat | undefined
  readonly tools: ToolFormat | undefined
  readonly switches: ThinkingSwitches
}

export interface ParserNames {
  /** `auto`: as the chat template shows it; `none`: reasoning stays part of the content. */
  readonly reasoningParser?: string | undefined
  /** `auto`: as the chat template shows them; `none`: calls stay text. */
  readonly toolCallParser?: string | undefined
}

/**
 * The formats that the options name. `auto`, the default, looks at the chat template, once the model is there. A name
 * that is not known is a `request` error at once.
 */
export function createOutputFormats(
  chatTemplate: () => ChatTemplate,
  { reasoningParser = 'auto', toolCallParser = 'auto' }: ParserNames,
  registry = ParserRegistry.builtIn(),
): () => OutputFormats {
  const isNamed = (name: string): boolean => name !== 'auto' && name !== 'none'
  const reasoning = isNamed(reasoningParser) ? registry.reasoning(reasoningParser) : undefined
  const tools = isNamed(toolCallParser) ? registry.tools(toolCallParser) : undefined
  let formats: OutputFormats | undefined
  return () =>
    (formats ??= {
      reasoning: reasoningParser === 'auto' ? deriveReasoning(chatTemplate()) : reasoning,
      tools: toolCallParser === 'auto' ? deriveTools(chatTemplate(), registry)?.format : tools,
      switches: findSwitches(chatTemplate()),
    })
}
