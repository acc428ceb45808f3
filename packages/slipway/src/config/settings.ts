import { z } from 'zod'

// One schema makes the flags, the environment variables, the keys of the file and the table in docs/configuration.md:
// this is the list that all four are read from.

/** How a value is written where only text can be: on a command line, in an environment variable. */
export type SettingKind = 'flag' | 'number' | 'number or text' | 'text' | 'list'

/** One value that a user can set. */
export interface Setting {
  /** As commander and code name it: `kvDiskCacheBytes` for `kvDiskCache.bytes`. */
  readonly name: string
  /** Leads to the value in the options, through those that group others. */
  readonly path: readonly string[]
  /** `--kv-disk-cache-bytes`; a list is named for one of its values, which may come several times. */
  readonly flag: string
  /** `SLIPWAY_KV_DISK_CACHE_BYTES` */
  readonly variable: string
  readonly kind: SettingKind
  readonly choices: readonly string[] | undefined
  readonly preset: unknown
  readonly description: string
  /** Never shown, neither in the log nor over HTTP. */
  readonly isSecret: boolean
  /** One flag takes several values: `--served-model-name a b`. */
  readonly isVariadic: boolean
  /** A list of numbers. */
  readonly hasNumbers: boolean
}

interface Property {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly anyOf?: readonly Property[]
  readonly default?: unknown
  readonly description?: string
  readonly properties?: Readonly<Record<string, Property>>
  /** Of `.meta()`. */
  readonly secret?: boolean
  readonly variadic?: boolean
  readonly plural?: boolean
  readonly items?: Property
}

/** All values that a schema takes; objects are entered, so that each of their values is a setting of its own. */
export function settingsOf(schema: z.ZodType): Setting[] {
  return leavesOf(z.toJSONSchema(schema, { io: 'input' }) as Property, [])
}

function leavesOf(property: Property, path: readonly string[]): Setting[] {
  if (!property.properties) return [toSetting(property, path)]
  return Object.entries(property.properties).flatMap(([key, inner]) => leavesOf(inner, [...path, key]))
}

function toSetting(property: Property, path: readonly string[]): Setting {
  const name = path.map((part, i) => (i === 0 ? part : capital(part))).join('')
  const kind = kindOf(property)
  // some lists keep the plural that other servers have
  const word = kebab(kind === 'list' && !property.plural ? name.replace(/s$/, '') : name)
  return {
    name,
    path,
    flag: `--${word}`,
    variable: `SLIPWAY_${word.replaceAll('-', '_').toUpperCase()}`,
    kind,
    choices: property.enum,
    preset: property.default,
    description: property.description ?? '',
    isSecret: property.secret === true,
    isVariadic: property.variadic === true,
    hasNumbers: property.items?.type === 'integer' || property.items?.type === 'number',
  }
}

function kindOf({ type, anyOf }: Property): SettingKind {
  const types = anyOf ? anyOf.map((branch) => branch.type) : [type]
  if (types.includes('boolean')) return 'flag'
  if (types.includes('array')) return 'list'
  const isNumber = types.some((one) => one === 'integer' || one === 'number')
  if (isNumber) return types.includes('string') ? 'number or text' : 'number'
  return 'text'
}

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}
