import { didYouMean } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import type { z } from 'zod'
import { readConfigFile } from './file.ts'
import { readFlags } from './flags.ts'
import { readText } from './read-text.ts'
import { serveConfigSchema } from './schema.ts'
import { settingsOf, type Setting } from './settings.ts'

/** Where the value of a setting came from. */
export type Source = 'flag' | 'environment' | 'file' | 'default'

/** One setting as it is in effect; `value` is masked where it is secret. */
export interface EffectiveSetting {
  readonly name: string
  readonly value: unknown
  readonly source: Source
}

export interface ResolvedConfig<S extends z.ZodType> {
  readonly config: z.output<S>
  /** The same without defaults. */
  readonly given: z.input<S>
  readonly effective: readonly EffectiveSetting[]
  /** Variables that look like settings but are none. */
  readonly warnings: readonly string[]
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Of the project, but no settings. */
export const otherVariables = new Set(['SLIPWAY_CACHE', 'SLIPWAY_CONFIG', 'SLIPWAY_ISA', 'SLIPWAY_NATIVE'])

/**
 * Settings from the command line, the environment, a file and the schema's defaults, the first of these that gives one.
 * What the flags of commander hold beside settings is left alone. Throws a `request` error that names the place at fault.
 */
export function resolveConfig<S extends z.ZodType>(
  schema: S,
  flags: Readonly<Record<string, unknown>>,
  environment: Environment = process.env,
): ResolvedConfig<S> {
  const settings = settingsOf(schema)
  const path = (flags['config'] as string | undefined) ?? environment['SLIPWAY_CONFIG']
  // a file may serve several commands, so it may hold settings that this one has no use for
  const layers: [Source, ReadonlyMap<string, unknown>][] = [
    ['flag', readFlags(flags, settings)],
    ['environment', readEnvironment(environment, settings)],
    ['file', path === undefined ? new Map() : readConfigFile(path, settingsOf(serveConfigSchema))],
  ]
  const options: Record<string, unknown> = {}
  const sources = new Map<string, Source>()
  for (const setting of settings)
    for (const [source, values] of layers)
      if (values.has(setting.name) && !sources.has(setting.name)) {
        sources.set(setting.name, source)
        place(options, setting.path, values.get(setting.name))
      }
  const parsed = schema.safeParse(options)
  if (!parsed.success) throw faultOf(parsed.error.issues[0]!, settings, sources, path)
  const config = parsed.data
  const effective = settings.map((setting) => ({
    name: setting.path.join('.'),
    value: shown(setting, valueAt(config, setting.path)),
    source: sources.get(setting.name) ?? 'default',
  }))
  return {
    config,
    given: options as z.input<S>,
    effective: effective.filter(({ value }) => value !== undefined),
    warnings: strays(environment),
  }
}

function readEnvironment(environment: Environment, settings: readonly Setting[]): Map<string, unknown> {
  const given = settings.flatMap((setting): [string, unknown][] => {
    const text = environment[setting.variable]
    return text === undefined || text === '' ? [] : [[setting.name, readText(setting, text, setting.variable)]]
  })
  return new Map(given)
}

/** Not refused as in a file: clusters add variables of their own, named for the service. */
function strays(environment: Environment): string[] {
  const known = settingsOf(serveConfigSchema).map(({ variable }) => variable)
  const isStray = (name: string): boolean =>
    name.startsWith('SLIPWAY_') && !known.includes(name) && !otherVariables.has(name)
  return Object.keys(environment)
    .filter(isStray)
    .map((name) => `the environment variable ${name} is not a setting${didYouMean(name, known)}`)
}

function place(options: Record<string, unknown>, [key, ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) options[key!] = value
  else place((options[key!] ??= {}) as Record<string, unknown>, rest, value)
}

function valueAt(options: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], options)
}

const mask = '***'

function shown({ isSecret }: Setting, value: unknown): unknown {
  if (!isSecret || value === undefined) return value
  return Array.isArray(value) ? value.map(() => mask) : mask
}

function faultOf(
  issue: z.core.$ZodIssue,
  settings: readonly Setting[],
  sources: ReadonlyMap<string, Source>,
  file: string | undefined,
): SlipwayError {
  const path = issue.path.map(String)
  const startsAlike = (setting: Setting): boolean =>
    setting.path.every((key, i) => path[i] === undefined || path[i] === key)
  // of a group whose value is missing, one that is given names the place
  const fitting = settings.filter(startsAlike)
  const setting = fitting.find(({ name }) => sources.has(name)) ?? fitting[0]
  const places: Readonly<Record<Source, string | undefined>> = {
    flag: setting?.flag,
    environment: setting?.variable,
    file,
    default: undefined,
  }
  const from = setting && places[sources.get(setting.name) ?? 'default']
  const param = path.join('.')
  return new SlipwayError('request', `option ${param}: ${issue.message}${from ? ` (given by ${from})` : ''}`, { param })
}
