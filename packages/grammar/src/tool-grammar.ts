import { grammarFault } from './ast.ts'
import type { GrammarSpec } from './spec.ts'

/** A model's notation of a call: `begin` {"name": ..., "arguments": ...} `end`. */
export interface ToolCallFormat {
  readonly begin: string
  readonly end: string
  readonly nameKey?: string
  readonly argumentsKey?: string
}

export interface ToolDefinition {
  readonly name: string
  /** JSON schema of the arguments; absent: any object. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
}

/** OpenAI's `tool_choice`: calls where the model wants them, at least one, or exactly that tool. */
export type ToolChoice = 'auto' | 'required' | { readonly name: string }

/** The grammar of an answer that calls tools with arguments that fit their schemas. */
export function toolGrammar(
  { begin, end, nameKey = 'name', argumentsKey = 'arguments' }: ToolCallFormat,
  tools: readonly ToolDefinition[],
  choice: ToolChoice,
  { parallel = true }: { readonly parallel?: boolean } = {},
): GrammarSpec {
  const chosen = typeof choice === 'string' ? tools : tools.filter(({ name }) => name === choice.name)
  if (chosen.length === 0)
    throw grammarFault(
      typeof choice === 'string'
        ? 'tools: there are none to call; give at least one'
        : `tool_choice: there is no tool named ${JSON.stringify(choice.name)}; use one of ${tools.map(({ name }) => name).join(', ')}`,
    )
  const [key, args] = [JSON.stringify(nameKey), JSON.stringify(argumentsKey)]
  const tags = chosen.map(({ name, parameters }) => ({
    type: 'tag',
    begin: `${begin}{${key}: ${JSON.stringify(name)}, ${args}: `,
    content: { type: 'json_schema', json_schema: parameters ?? { type: 'object' } },
    end: `}${end}`,
  }))
  if (typeof choice !== 'string') return { structuralTag: tags[0]! }
  return {
    structuralTag: {
      type: 'triggered_tags',
      triggers: [begin],
      tags,
      at_least_one: choice === 'required',
      stop_after_first: !parallel,
    },
  }
}
