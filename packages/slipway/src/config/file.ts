import { readFileSync } from 'node:fs'
import { didYouMean } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { parse, YAMLParseError } from 'yaml'
import type { Setting } from './settings.ts'

/**
 * The settings that a YAML or JSON file gives, by name. Keys may be written as in code (`maxNumSeqs`), as flags
 * (`max-num-seqs`) or in snake case; those of groups nested or in one word. An unknown key is a `request` error.
 */
export function readConfigFile(path: string, settings: readonly Setting[]): Map<string, unknown> {
  const content = parseFile(path)
  if (!isGroup(content)) throw fault(path, 'a mapping of settings is expected')
  const found = new Map<string, unknown>()
  collect(content, [], { path, settings, found })
  return found
}

interface Collection {
  readonly path: string
  readonly settings: readonly Setting[]
  readonly found: Map<string, unknown>
}

function collect(group: Readonly<Record<string, unknown>>, outer: readonly string[], into: Collection): void {
  for (const [key, value] of Object.entries(group)) {
    const keys = [...outer, key]
    const name = plain(keys.join('-'))
    const setting = into.settings.find((one) => plain(one.name) === name || plain(one.flag) === name)
    if (setting) {
      if (into.found.has(setting.name)) throw fault(into.path, `${setting.name} is given twice`)
      into.found.set(setting.name, setting.kind === 'list' && !Array.isArray(value) ? [value] : value)
    } else if (isGroup(value) && into.settings.some((one) => plain(one.path.slice(0, -1).join('-')) === name))
      collect(value, keys, into)
    else {
      const names = into.settings.map((one) => one.name)
      throw fault(into.path, `there is no setting ${keys.join('.')}${didYouMean(plain(keys.join('-')), names)}`)
    }
  }
}

/** One spelling for `maxNumSeqs`, `max-num-seqs` and `max_num_seqs`. */
function plain(name: string): string {
  return name.replace(/[-_]/g, '').toLowerCase()
}

function parseFile(path: string): unknown {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw fault(path, `cannot be read: ${(error as Error).message}`)
  }
  try {
    // YAML 1.2 takes JSON as well; a file needs no more than a few aliases
    return parse(text, { maxAliasCount: 100, prettyErrors: true }) ?? {}
  } catch (error) {
    const message = error instanceof YAMLParseError ? error.message.split('\n')[0]! : (error as Error).message
    throw fault(path, message)
  }
}

function isGroup(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function fault(path: string, message: string): SlipwayError {
  return new SlipwayError('request', `configuration file ${path}: ${message}`)
}
