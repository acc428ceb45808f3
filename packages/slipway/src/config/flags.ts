import { InvalidArgumentError, Option, type Command } from 'commander'
import type { z } from 'zod'
import { numberOf } from './read-text.ts'
import { settingsOf, type Setting } from './settings.ts'

/** Adds a flag for every setting of a schema, and `--config` for a file with any of them. */
export function addConfigFlags(command: Command, schema: z.ZodType): Command {
  command.option('--config <file>', 'YAML or JSON file with settings; flags and environment variables win over it')
  for (const setting of settingsOf(schema))
    for (const option of setting.kind === 'flag' ? switches(setting) : [valued(setting)]) command.addOption(option)
  return command
}

/** A switch can be turned both ways, since a file may have turned it; the help shows the one that changes something. */
function switches({ flag, preset, description }: Setting): Option[] {
  const off = new Option(flag.replace('--', '--no-'), `do not ${description}`)
  const on = new Option(flag, description)
  return preset === true ? [on.hideHelp(), off] : [on, off.hideHelp()]
}

function valued({ flag, kind, choices, preset, description, isVariadic, hasNumbers }: Setting): Option {
  const text = preset === undefined ? description : `${description} (default: ${String(preset)})`
  const option = new Option(`${flag} <${placeholder(kind, choices)}${isVariadic ? '...' : ''}>`, text)
  if (choices) return option.choices(choices)
  if (kind === 'number') return option.argParser(toNumber)
  if (kind === 'number or text') return option.argParser((one: string) => numberOf(one) ?? one)
  const read = hasNumbers ? toNumber : (one: string): string => one
  if (kind === 'list') return option.argParser((one: string, all: unknown[] = []) => [...all, read(one)])
  return option
}

function placeholder(kind: Setting['kind'], choices: readonly string[] | undefined): string {
  if (choices) return 'type'
  return kind === 'number' ? 'n' : 'value'
}

/** The settings that the command line gave, by name. Commander names a list for one of its values. */
export function readFlags(
  flags: Readonly<Record<string, unknown>>,
  settings: readonly Setting[],
): Map<string, unknown> {
  const given = settings.flatMap((setting): [string, unknown][] => {
    const value = flags[attributeOf(setting)]
    return value === undefined ? [] : [[setting.name, value]]
  })
  return new Map(given)
}

function attributeOf({ flag }: Setting): string {
  return flag.slice(2).replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

export function toNumber(text: string): number {
  const value = numberOf(text)
  if (value === undefined) throw new InvalidArgumentError('It must be a number.')
  return value
}

/** Takes whole numbers from `least` on. */
export function toCount(least: number): (text: string) => number {
  return (text) => {
    const value = numberOf(text)
    if (value !== undefined && Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} on.`)
  }
}
