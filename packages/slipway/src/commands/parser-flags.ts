import { ParserRegistry } from '@slipway/parsers'
import type { Command } from 'commander'

export interface ParserFlags {
  readonly toolCallParser: string
  readonly reasoningParser: string
}

const parsers = ParserRegistry.builtIn()

/** Adds the flags that say how a model writes what is no plain text. */
export function addParserFlags(command: Command): Command {
  return command
    .option('--tool-call-parser <name>', `form of tool calls: auto, none, ${parsers.toolNames.join(', ')}`, 'auto')
    .option('--reasoning-parser <name>', `form of reasoning: auto, none, ${parsers.reasoningNames.join(', ')}`, 'auto')
}

/** Throws for an unknown name, before a model is loaded for nothing. */
export function checkParserNames({ toolCallParser, reasoningParser }: ParserFlags): void {
  if (!['auto', 'none'].includes(toolCallParser)) parsers.tools(toolCallParser)
  if (!['auto', 'none'].includes(reasoningParser)) parsers.reasoning(reasoningParser)
}
