import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { SlipwayError } from '@slipway/tensor'
import type { LogitChanges } from './logit-changes.ts'

/**
 * What a module named by the option `logitsProcessors` exports as `logitsProcessor`. It runs in the engine's thread, for
 * the requests that name it in `logitsProcessorsArgs`. What it throws ends that request and no other.
 */
export interface LogitsProcessorPlugin {
  /** By which requests ask for it. */
  readonly name: string
  /** Called once for every completion; throws if it cannot work with the arguments of the request. */
  open(args: unknown, request: LogitsProcessorRequest): LogitsProcessor
}

export interface LogitsProcessorRequest {
  readonly promptTokenIds: readonly number[]
  readonly vocabSize: number
}

export interface LogitsProcessor {
  /**
   * Changes the model's logits of the next token in place, one per token of the vocabulary; -Infinity bans one.
   * `tokenIds` is the prompt and what was generated so far. Called once for every generated token, before penalties and
   * bans. It must be a function of the arguments and `tokenIds` alone, so that the answer does not depend on company.
   */
  apply(logits: Float32Array, tokenIds: readonly number[]): void
}

/** One at work for a sequence. */
export interface NamedProcessor {
  readonly name: string
  readonly processor: LogitsProcessor
}

/** The plugins of an engine. */
export class LogitsProcessors {
  readonly #plugins: ReadonlyMap<string, LogitsProcessorPlugin>
  readonly #vocabSize: number

  private constructor(plugins: ReadonlyMap<string, LogitsProcessorPlugin>, vocabSize: number) {
    this.#plugins = plugins
    this.#vocabSize = vocabSize
  }

  /** Imports modules by path; a `request` error names the one that cannot be used. */
  static async load(paths: readonly string[], vocabSize: number): Promise<LogitsProcessors> {
    const plugins = new Map<string, LogitsProcessorPlugin>()
    for (const path of paths) {
      const plugin = await importPlugin(path)
      if (plugins.has(plugin.name)) throw fault(path, `another module has the name ${plugin.name} too; leave one out`)
      plugins.set(plugin.name, plugin)
    }
    return new LogitsProcessors(plugins, vocabSize)
  }

  get names(): string[] {
    return [...this.#plugins.keys()]
  }

  /** Those that a request asks for, by name. */
  open(args: Readonly<Record<string, unknown>>, promptTokenIds: readonly number[]): NamedProcessor[] {
    return Object.entries(args).map(([name, value]) => {
      const plugin = this.#plugins.get(name)
      if (!plugin) throw unknownProcessor(name, this.names)
      try {
        return { name, processor: plugin.open(value, { promptTokenIds, vocabSize: this.#vocabSize }) }
      } catch (error) {
        throw new SlipwayError('request', `logitsProcessorsArgs: ${name}: ${messageOf(error)}`, {
          param: 'logitsProcessorsArgs',
        })
      }
    })
  }
}

/** Refuses arguments for a plugin that is not among `names`. */
export function checkProcessorNames(args: Readonly<Record<string, unknown>>, names: readonly string[]): void {
  const unknown = Object.keys(args).find((name) => !names.includes(name))
  if (unknown !== undefined) throw unknownProcessor(unknown, names)
}

function unknownProcessor(name: string, names: readonly string[]): SlipwayError {
  const known = names.length > 0 ? `there are ${names.join(', ')}` : 'there are none'
  return new SlipwayError('request', `logitsProcessorsArgs: no logits processor ${JSON.stringify(name)}; ${known}`, {
    param: 'logitsProcessorsArgs',
  })
}

/** Applies processors to a row, in order; returns why it cannot be drawn from, if it cannot. */
export function applyProcessors(
  processors: readonly NamedProcessor[],
  row: Float32Array,
  tokenIds: readonly number[],
  { mask }: LogitChanges,
): SlipwayError | undefined {
  for (const { name, processor } of processors) {
    try {
      processor.apply(row, tokenIds)
    } catch (error) {
      return new SlipwayError('internal', `logits processor ${name} failed: ${messageOf(error)}`)
    }
    if (row.some(Number.isNaN)) return new SlipwayError('internal', `logits processor ${name} made a logit NaN`)
  }
  const isAllowed = (id: number): boolean => !mask || ((mask[id >>> 5]! >>> (id & 31)) & 1) === 1
  if (row.some((logit, id) => logit > -Infinity && isAllowed(id))) return undefined
  const names = processors.map(({ name }) => name).join(', ')
  return new SlipwayError('request', `logitsProcessorsArgs: ${names} left no token to go on with`, {
    param: 'logitsProcessorsArgs',
  })
}

async function importPlugin(path: string): Promise<LogitsProcessorPlugin> {
  let loaded: { readonly logitsProcessor?: Partial<LogitsProcessorPlugin> }
  try {
    loaded = (await import(pathToFileURL(resolve(path)).href)) as typeof loaded
  } catch (error) {
    throw fault(path, messageOf(error))
  }
  const { logitsProcessor: plugin } = loaded
  if (typeof plugin?.name !== 'string' || typeof plugin.open !== 'function')
    throw fault(path, 'exports no logitsProcessor with a name and a function open')
  return plugin as LogitsProcessorPlugin
}

function fault(path: string, message: string): SlipwayError {
  return new SlipwayError('request', `option logitsProcessors: ${path}: ${message}`, { param: 'logitsProcessors' })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
