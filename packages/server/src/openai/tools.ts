import type { ChatParams, ChatTool } from '@slipway/engine'
import type { ToolCallDelta } from '@slipway/parsers'
import { z } from 'zod'
import type { ApiToolCallDelta } from './answers.ts'
import { arrayOf } from './array-of.ts'

/** Name of a tool. */
export const toolName = z.string().regex(/^[\w.:/-]{1,128}$/, 'must be 1 to 128 letters, digits or _ . : / -')

const functionSchema = z.strictObject({
  name: toolName,
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
})

/** `tools` of a chat request. */
export const toolsSchema = arrayOf(
  z.strictObject({
    type: z.literal('function', 'must be "function"; no other tools are supported'),
    function: functionSchema,
  }),
).refine(
  (tools) => new Set(tools.map((tool) => tool.function.name)).size === tools.length,
  'two tools have the same name; rename one',
)

const namedTool = z.strictObject({ type: z.literal('function'), function: z.strictObject({ name: z.string() }) })

/** OpenAI's `tool_choice`, in all its forms. */
export const toolChoiceSchema = z.union(
  [
    z.enum(['auto', 'none', 'required']),
    namedTool,
    z.strictObject({
      type: z.literal('allowed_tools'),
      allowed_tools: z.strictObject({ mode: z.enum(['auto', 'required']), tools: arrayOf(namedTool) }),
    }),
  ],
  { error: 'must be "auto", "none", "required", or {"type": "function", "function": {"name": "…"}}' },
)

/** The choice, and the names of the tools among which it is, where these are not all. */
export function toToolChoice(choice: z.output<typeof toolChoiceSchema> = 'auto'): {
  readonly toolChoice: NonNullable<ChatParams['toolChoice']>
  readonly allowed: ReadonlySet<string> | undefined
} {
  if (typeof choice === 'string') return { toolChoice: choice, allowed: undefined }
  if (choice.type === 'function') return { toolChoice: { name: choice.function.name }, allowed: undefined }
  const { mode, tools } = choice.allowed_tools
  return { toolChoice: mode, allowed: new Set(tools.map((tool) => tool.function.name)) }
}

/** A tool as chat templates and parsers see it: without parameters it takes none. */
export function toTool({
  function: { name, description, parameters, strict },
}: z.output<typeof toolsSchema>[number]): ChatTool {
  return {
    type: 'function',
    function: {
      name,
      ...(description != null && { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
      ...(strict === true && { strict }),
    },
  }
}

export function apiToolCallDelta({ index, id, name, argumentsDelta = '' }: ToolCallDelta): ApiToolCallDelta {
  return {
    index,
    ...(id !== undefined && { id, type: 'function' as const }),
    function: { ...(name !== undefined && { name }), arguments: argumentsDelta },
  }
}
