import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { Tokenizer } from '@slipway/checkpoint'
import { createOutputFormats, type LLM, type OutputFormats } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Logger } from 'pino'
import { BatchService } from './batches/service.ts'
import { Access } from './http/access.ts'
import { createLog } from './observe/log.ts'
import { Metrics } from './observe/metrics.ts'
import { toApiError, type ApiError } from './http/errors.ts'
import { LiveFeed } from './live.ts'
import { resolveServerOptions, serverOptionsSchema, type ResolvedServerOptions, type ServerOptions } from './options.ts'

/** What all routes share. */
export interface ServerContext {
  readonly llm: LLM
  readonly options: ResolvedServerOptions
  /** Begin of service, in Unix seconds. */
  readonly created: number
  /** Requests that generate now, with the names under which they can be ended. */
  readonly open: Set<{ readonly ids: readonly string[]; abort(): void }>
  /** What the engine does, for those who look on. */
  readonly live: LiveFeed
  /** Characters of the model's longest token. */
  readonly longestToken: () => number
  /** How the model marks reasoning and tool calls. */
  readonly outputFormats: () => OutputFormats
  readonly onInternalError: (error: unknown, requestId: string) => void
  readonly access: Access
  /** Absent where no folder is set. */
  readonly batches: BatchService | undefined
  readonly log: Logger
  readonly metrics: Metrics
  /** What GET /config shows. */
  readonly effectiveConfig: unknown
  /** True from the begin of an orderly end on: what is under way goes on, nothing new is taken. */
  isDraining: boolean
  /** HTTP requests whose last byte is not made yet. */
  numOpen: number
}

export function createContext(
  llm: LLM,
  { onInternalError, parsers, logger, effectiveConfig, ...settings }: ServerOptions,
): ServerContext {
  const options = resolveServerOptions(settings)
  const outputFormats = createOutputFormats(() => llm.chatTemplate, options, parsers)
  const created = Math.floor(Date.now() / 1000)
  let longest: number | undefined
  const longestToken = (): number => (longest ??= countLongestToken(llm.tokenizer))
  const log = logger ?? createLog(options)
  const context: ServerContext = {
    llm,
    options,
    created,
    open: new Set(),
    live: new LiveFeed(llm),
    longestToken,
    outputFormats,
    onInternalError: onInternalError ?? ((error, requestId) => log.error({ requestId, err: error }, 'request failed')),
    access: new Access(options),
    batches: options.batchDirectory === undefined ? undefined : new BatchService(options.batchDirectory, options),
    log,
    metrics: new Metrics(llm, () => modelLabel(context)),
    effectiveConfig: effectiveConfig ?? withoutSecrets(options),
    isDraining: false,
    numOpen: 0,
  }
  return context
}

function withoutSecrets(options: ResolvedServerOptions): object {
  const isSecret = (name: string): boolean =>
    serverOptionsSchema.shape[name as keyof ResolvedServerOptions].meta()?.['secret'] === true
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, isSecret(name) ? '***' : value]))
}

/** The model's name for metrics and traces; empty until it is known. */
export function modelLabel(context: ServerContext): string {
  const { servedModelNames } = context.options
  return servedModelNames?.[0] ?? (context.llm.state === 'ready' ? servedNames(context)[0]! : '')
}

function countLongestToken(tokenizer: Tokenizer): number {
  let longest = 1
  for (let id = 0; id < tokenizer.vocabSize; id++) longest = Math.max(longest, tokenizer.idToToken(id)?.length ?? 0)
  return longest
}

export const version: string = readVersion()

function readVersion(): string {
  const manifest = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** Names under which the model is served; for a directory its last part, since a path is nobody's business. */
export function servedNames({ llm, options }: ServerContext): readonly string[] {
  if (options.servedModelNames) return options.servedModelNames
  const { model, directory } = llm.info
  return [resolve(model) === resolve(directory) ? basename(resolve(model)) : model]
}

/**
 * The LoRA adapter of that name, or none for the model itself; throws `model_not_found` for other names. The path that the
 * server was started with is a name of the model as well.
 */
export function requireModel(context: ServerContext, name: string): { readonly lora?: string } {
  const names = servedNames(context)
  if (names.includes(name) || (!context.options.servedModelNames && name === context.llm.info.model)) return {}
  const adapters = context.llm.loras.map((adapter) => adapter.name)
  if (adapters.includes(name)) return { lora: name }
  const all = [...names, ...adapters].join(', ')
  throw new SlipwayError('not-found', `the model "${name}" does not exist; this server has ${all}`, {
    param: 'model',
    code: 'model_not_found',
  })
}

/** Changes when the same request and seed may give another answer. */
export function systemFingerprint({ llm }: ServerContext): string {
  const { architecture, numParameters, dtype, quantization, headQuantization, kvCacheDtype, device } = llm.info
  const { updatedWeights } = llm.info
  const form = [architecture, numParameters, dtype, quantization, headQuantization, kvCacheDtype, device]
  const parts = [version, ...form, ...(updatedWeights === null ? [] : [updatedWeights])]
  return `fp_${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 10)}`
}

/** The HTTP form of an error; one that is a bug of ours is told to the log as well. */
export function answerTo(error: unknown, { onInternalError }: ServerContext, requestId: string): ApiError {
  const answer = toApiError(error, requestId)
  if (answer.isInternal) onInternalError(error, requestId)
  return answer
}
