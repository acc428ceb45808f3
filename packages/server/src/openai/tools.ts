import { z } from 'zod'
import { arrayOf } from './array-of.ts'

const strictRemedy = 'arguments cannot be forced into their schema yet; use false, or remove it'

const functionSchema = z.strictObject({
  name: z.string().regex(/^[\w.:/-]{1,128}$/, 'must be 1 to 128 letters, digits or _ . : / -'),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z
    .boolean()
    .nullish()
    .refine((strict) => strict !== true, { error: strictRemedy, params: { code: 'unsupported_parameter' } }),
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

/** A tool as chat templates and parsers see it: without parameters it takes none. */
export interface Tool {
  readonly type: 'function'
  readonly function: { readonly name: string; readonly description?: string; readonly parameters: unknown }
}

export function toTool({ function: { name, description, parameters } }: z.output<typeof toolsSchema>[number]): Tool {
  return {
    type: 'function',
    function: {
      name,
      ...(description != null && { description }),
      parameters: parameters ?? { type: 'object', properties: {} },
    },
  }
}
