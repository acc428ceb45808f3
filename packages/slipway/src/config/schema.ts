import { engineOptionsSchema } from '@slipway/engine'
import { ParserRegistry } from '@slipway/parsers'
import { serverOptionsSchema, type ServerOptions } from '@slipway/server'
import { z } from 'zod'

const parsers = ParserRegistry.builtIn()
const { logLevel, toolCallParser, reasoningParser, ...serverShape } = serverOptionsSchema.shape

/** Where a model comes from. */
const sourceShape = {
  revision: z.string().min(1).optional().describe('branch, tag or commit on the hub'),
  downloadDir: z.string().min(1).optional().describe('where downloaded models are kept'),
  chatTemplate: z.string().min(1).optional().describe("file with a Jinja chat template, in place of the model's own"),
  offline: z.boolean().default(false).describe('never ask the network'),
  loraModules: z
    .array(z.string().min(1))
    .optional()
    .describe('LoRA adapters to begin with, each as name=folder; makes room for them as enableLora does')
    .meta({ variadic: true, plural: true }),
}

/** What decides how a model is loaded and run: the settings of every command that has a model. */
export const modelConfigSchema = z.strictObject({ ...sourceShape, ...engineOptionsSchema.shape })

/** All settings there are: those of `slipway serve`. */
export const serveConfigSchema = z.strictObject({
  model: z
    .string()
    .min(1)
    .optional()
    .describe('directory in Hugging Face form or name on the hub; default: the built-in model'),
  ...serverShape,
  toolCallParser: toolCallParser.describe(
    `form of the model's tool calls: auto (as its chat template shows them), none, ${parsers.toolNames.join(', ')}`,
  ),
  reasoningParser: reasoningParser.describe(
    `form of its reasoning: auto (as its chat template shows it), none, ${parsers.reasoningNames.join(', ')}`,
  ),
  // a program tells what it does; a library keeps quiet
  logLevel: logLevel.unwrap().default('info').describe(logLevel.description!),
  ...modelConfigSchema.shape,
})

type ServeConfig = z.output<typeof serveConfigSchema>
type Given = z.input<typeof serveConfigSchema>

/** The settings by whom they concern; those of the model without defaults, which its loader knows. */
export function splitServeConfig(
  { model, ...config }: ServeConfig,
  given: Given,
): {
  readonly model: string | undefined
  readonly server: z.output<typeof serverOptionsSchema>
  readonly engine: z.input<typeof modelConfigSchema>
} {
  const pick = (from: object, names: object): object =>
    Object.fromEntries(Object.entries(from).filter(([name]) => name in names))
  return {
    model,
    server: pick(config, serverOptionsSchema.shape) as z.output<typeof serverOptionsSchema>,
    engine: pick(given, modelConfigSchema.shape) as z.input<typeof modelConfigSchema>,
  }
}

/** Throws what the server would throw once the model is there. */
export function checkServeConfig({ toolCallParser: tools, reasoningParser: reasoning }: ServerOptions): void {
  const isNamed = (name: string | undefined): name is string => name !== undefined && name !== 'auto' && name !== 'none'
  if (isNamed(tools)) parsers.tools(tools)
  if (isNamed(reasoning)) parsers.reasoning(reasoning)
}
