import { parseOptions } from '@slipway/engine'
import type { ParserRegistry } from '@slipway/parsers'
import { z } from 'zod'

/** Server settings, named as vLLM names them where it has them; the command line can derive its flags from this. */
export const serverOptionsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on; 0.0.0.0 or :: for all'),
  port: z.int().min(0).max(65535).default(8000).describe('0 takes any free one'),
  servedModelNames: z
    .array(z.string().min(1).max(256))
    .min(1)
    .optional()
    .describe('names under which clients ask for the model, the first one is shown; default: that of the model'),
  maxBodyBytes: z.int().min(1024).default(10_000_000).describe('longest request body'),
  heartbeatSeconds: z
    .number()
    .min(0.01)
    .max(3600)
    .default(15)
    .describe('pause after which a quiet stream sends a ping'),
  corsOrigins: z
    .array(z.string().min(1))
    .optional()
    .describe('web pages that may ask, such as https://example.org; * for all; default: none'),
  toolCallParser: z
    .string()
    .default('auto')
    .describe("form of the model's tool calls; auto: as its chat template shows them, none: they stay text"),
  reasoningParser: z
    .string()
    .default('auto')
    .describe('tags of the reasoning; auto: as the chat template shows them, none: it stays part of the content'),
  runtimeLora: z
    .boolean()
    .default(false)
    .describe('let clients load and unload LoRA adapters, from any folder that the server can read'),
  playground: z.boolean().default(true).describe('whether browsers get a page to try the model at /'),
  adminKey: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
    .optional()
    .describe('key for the routes that control the engine; without it they do not exist'),
  drainSeconds: z.number().min(0).max(3600).default(5).describe('time that open requests get when the server closes'),
})

export type ResolvedServerOptions = z.output<typeof serverOptionsSchema>

type ServerSettings = Readonly<z.input<typeof serverOptionsSchema>>

export interface ServerOptions extends ServerSettings {
  /** The formats that `toolCallParser` and `reasoningParser` may name; default: the built-in ones. */
  readonly parsers?: ParserRegistry
  /** Told of every answer with status 500, which is a bug of ours; by default it is written to standard error. */
  readonly onInternalError?: (error: unknown, requestId: string) => void
}

export function resolveServerOptions(options: ServerSettings): ResolvedServerOptions {
  return parseOptions(serverOptionsSchema, options)
}
