import { parseOptions } from '@slipway/engine'
import type { ParserRegistry } from '@slipway/parsers'
import type { Logger } from 'pino'
import { z } from 'zod'

const seconds = z.number().min(0.01).max(86_400)
const limit = z
  .int()
  .min(1)
  .max(2 ** 31 - 1)
  .optional()
const bytes = z.union([z.number().positive(), z.string()])
// short keys can be guessed, others can be in no header
const keyText = z
  .string()
  .min(8)
  .max(512)
  .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')

/** A key with limits of its own, in place of those for all keys. */
export const apiKeySchema = z.strictObject({
  key: keyText,
  /** Shown in the log in place of the key. */
  name: z.string().min(1).max(64).optional(),
  requestsPerMinute: limit,
  tokensPerMinute: limit,
  maxConcurrentRequests: limit,
})

/** Server settings, named as vLLM names them where it has them; the command line can derive its flags from this. */
export const serverOptionsSchema = z.strictObject({
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on; 0.0.0.0 or :: for all'),
  port: z.int().min(0).max(65535).default(8000).describe('0 takes any free one'),
  grpcPort: z
    .int()
    .min(0)
    .max(65535)
    .optional()
    .describe('port for gRPC, the Open Inference Protocol; 0 takes any free one; default: no gRPC'),
  servedModelNames: z
    .array(z.string().min(1).max(256))
    .min(1)
    .optional()
    .meta({ variadic: true })
    .describe('names under which clients ask for the model, the first one is shown; default: that of the model'),
  apiKeys: z
    .array(z.union([keyText, apiKeySchema]))
    .optional()
    .meta({ secret: true })
    .describe('keys that clients must show, as Bearer or x-api-key; default: none is asked for'),
  apiKeyFile: z.string().min(1).optional().describe('file with keys, one per line; # begins a comment'),
  requestsPerMinute: limit.describe('requests that each key may send in a minute'),
  tokensPerMinute: limit.describe('tokens, of prompts and answers, that each key may use in a minute'),
  maxConcurrentRequests: limit.describe('requests of each key that may be under way at once'),
  sslKeyfile: z.string().min(1).optional().describe('private key in PEM form, to serve over HTTPS'),
  sslCertfile: z.string().min(1).optional().describe('certificate in PEM form, with those in between after it'),
  allowedHosts: z
    .array(z.string().min(1).max(253))
    .optional()
    .describe(
      'names in the Host header that are answered, * for all; default: those of this machine where only it is listened to, else all',
    ),
  maxConnections: z.int().min(1).optional().describe('connections at once; further ones are dropped'),
  maxHeaderBytes: z.int().min(1024).max(1_048_576).default(16_384).describe('longest head of a request'),
  headerTimeoutSeconds: seconds.default(15).describe('time in which the head of a request must have come'),
  requestTimeoutSeconds: seconds.default(120).describe('time in which a whole request must have come'),
  slowReaderSeconds: seconds
    .default(60)
    .describe('time after which a client that takes nothing of its answer is dropped'),
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
  batchDirectory: z
    .string()
    .min(1)
    .optional()
    .describe('folder for what /v1/files and /v1/batches keep; default: these routes are off'),
  batchDiskBytes: bytes.default('10GB').describe('most that files and batches take on disk'),
  batchFileBytes: bytes.default('200MB').describe('longest file that can be sent to /v1/files'),
  batchMaxLines: z.int().min(1).max(1_000_000).default(50_000).describe('most requests in one batch'),
  batchMaxConcurrency: z.int().min(1).max(1024).default(8).describe('requests of all batches under way at once'),
  adminKey: z
    .string()
    .regex(/^[\x21-\x7e]+$/, 'must be printable ASCII without spaces')
    .optional()
    .describe('key for the routes that control the engine; without it they do not exist')
    .meta({ secret: true }),
  drainSeconds: z.number().min(0).max(3600).default(5).describe('time that open requests get when the server closes'),
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('warn')
    .describe('what is logged; info has a line per request'),
  logPrompts: z.boolean().default(false).describe('log the text of prompts'),
})

export type ResolvedServerOptions = z.output<typeof serverOptionsSchema>

type ServerSettings = Readonly<z.input<typeof serverOptionsSchema>>

export interface ServerOptions extends ServerSettings {
  /** The formats that `toolCallParser` and `reasoningParser` may name; default: the built-in ones. */
  readonly parsers?: ParserRegistry
  /** Where the log goes; default: JSON lines on standard error. */
  readonly logger?: Logger
  /** What GET /config shows in place of these options; without secrets. */
  readonly effectiveConfig?: unknown
  /** Told of every answer with status 500, which is a bug of ours; by default it is logged. */
  readonly onInternalError?: (error: unknown, requestId: string) => void
}

export function resolveServerOptions(options: ServerSettings): ResolvedServerOptions {
  return parseOptions(serverOptionsSchema, options)
}
