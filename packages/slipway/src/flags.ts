import { engineOptionsSchema, type EngineOptions, type LLMOptions, type SamplingParams } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { InvalidArgumentError, Option, type Command } from 'commander'
import { z } from 'zod'

// Engine flags come from the engine's own schema, so that a new option is a new flag without a word here.

interface Property {
  readonly type?: string
  readonly enum?: readonly string[]
  readonly default?: unknown
  readonly description?: string
  readonly properties?: Readonly<Record<string, Property>>
  readonly items?: Property
}

/** An option that takes a value; `path` leads to it, through the options that group others. */
interface Leaf extends Property {
  readonly path: readonly string[]
  /** As commander names it: `kvDiskCacheBytes` for `kvDiskCache.bytes`. */
  readonly name: string
}

function leavesOf(properties: Readonly<Record<string, Property>>, path: readonly string[] = []): Leaf[] {
  return Object.entries(properties).flatMap(([key, property]) => {
    const own = [...path, key]
    if (property.properties) return leavesOf(property.properties, own)
    return [{ ...property, path: own, name: own.map((part, i) => (i === 0 ? part : capital(part))).join('') }]
  })
}

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

function engineLeaves(): Leaf[] {
  const { properties } = z.toJSONSchema(engineOptionsSchema, { io: 'input' }) as {
    properties: Record<string, Property>
  }
  return leavesOf(properties)
}

const modelFlags = {
  revision: 'branch, tag or commit on the hub',
  downloadDir: 'where downloaded models are kept',
  chatTemplate: "file with a Jinja chat template, in place of the model's own",
} as const

export function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

function toNumber(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || Number.isNaN(value)) throw new InvalidArgumentError('It must be a number.')
  return value
}

/** A number where it reads as one, else the text: `--kv-cache-memory` takes both. */
function toNumberOrText(text: string): number | string {
  const value = Number(text)
  return text.trim() === '' || Number.isNaN(value) ? text : value
}

/** Adds everything that decides how a model is loaded and run. */
export function addEngineFlags(command: Command): Command {
  for (const { name, type, enum: choices, default: preset, description, items } of engineLeaves()) {
    if (type === 'boolean') {
      // what is on by default can only be switched off
      if (preset === true) command.option(`--no-${kebab(name)}`, `do not ${description}`)
      else command.option(`--${kebab(name)}`, description)
      // without a default, off is something else than absent
      if (preset === undefined) command.option(`--no-${kebab(name)}`, `do not ${description}`)
      continue
    }
    if (type === 'array') {
      const isNumber = items?.type === 'integer'
      const add = (value: string, before: unknown[] = []): unknown[] => [...before, isNumber ? toNumber(value) : value]
      command.addOption(new Option(`--${kebab(name)} <value...>`, description).argParser(add))
      continue
    }
    if (type === 'array') {
      command.option(`--${kebab(name)} <value...>`, description)
      continue
    }
    const text = preset === undefined ? description : `${description} (default: ${String(preset)})`
    const option = new Option(`--${kebab(name)} <${choices ? 'type' : type === 'integer' ? 'n' : 'value'}>`, text)
    if (choices) option.choices(choices)
    else option.argParser(type === 'integer' ? toNumber : toNumberOrText)
    command.addOption(option)
  }
  for (const [name, text] of Object.entries(modelFlags)) command.option(`--${kebab(name)} <value>`, text)
  command.option(
    '--lora-modules <name=folder...>',
    'LoRA adapters to begin with; makes room for them as --enable-lora does',
  )
  return command.option('--offline', 'never ask the network')
}

/** What `addEngineFlags` made of the command line, as the offline API takes it. */
export function engineOptions(flags: Readonly<Record<string, unknown>>): LLMOptions {
  const engine: Record<string, unknown> = {}
  for (const { name, path } of engineLeaves()) {
    const [group, key] = path as [string, string | undefined]
    if (flags[name] === undefined) continue
    if (key === undefined) engine[group] = flags[name]
    else engine[group] = { ...(engine[group] as object | undefined), [key]: flags[name] }
  }
  const text = (name: keyof typeof modelFlags): string | undefined => flags[name] as string | undefined
  const [revision, cacheDir, chatTemplate] = [text('revision'), text('downloadDir'), text('chatTemplate')]
  return {
    ...(engine as EngineOptions),
    ...(revision !== undefined && { revision }),
    ...(cacheDir !== undefined && { cacheDir }),
    ...(chatTemplate !== undefined && { chatTemplate }),
    ...(flags['offline'] === true && { offline: true }),
    ...(flags['loraModules'] !== undefined && { loraModules: adapterFolders(flags['loraModules'] as string[]) }),
  }
}

/** Folders of adapters by name; each is given as `name=folder`, or as vLLM's JSON object with `name` and `path`. */
function adapterFolders(given: readonly string[]): Record<string, string> {
  const folders = given.map((text): [string, string] => {
    const [name, path] = text.startsWith('{') ? fromJson(text) : splitOnce(text)
    if (name && path) return [name, path]
    throw new SlipwayError('request', `--lora-modules: "${text}" is not name=folder`, { param: 'loraModules' })
  })
  const twice = folders.find(([name], i) => folders.findIndex((other) => other[0] === name) < i)
  if (twice) throw new SlipwayError('request', `--lora-modules: "${twice[0]}" is given twice`, { param: 'loraModules' })
  return Object.fromEntries(folders)
}

function splitOnce(text: string): [string, string] {
  const at = text.indexOf('=')
  return [text.slice(0, Math.max(0, at)), text.slice(at + 1)]
}

function fromJson(text: string): [string, string] {
  try {
    const { name, path } = JSON.parse(text) as { name?: unknown; path?: unknown }
    return [typeof name === 'string' ? name : '', typeof path === 'string' ? path : '']
  } catch {
    return ['', '']
  }
}

const samplingFlags = {
  maxTokens: 'most tokens to generate',
  minTokens: 'no end of text before that many',
  temperature: '0 is greedy',
  topP: 'keep the smallest set of tokens with this share of probability',
  topK: 'keep that many best tokens',
  minP: 'drop tokens below this share of the best',
  repetitionPenalty: 'above 1 discourages tokens already seen',
  presencePenalty: 'subtracted once from generated tokens',
  frequencyPenalty: 'subtracted for every time a token was generated',
  seed: 'the same seed gives the same text',
} as const

/** Adds the sampling parameters that make sense on a command line. */
export function addSamplingFlags(command: Command): Command {
  for (const [name, text] of Object.entries(samplingFlags))
    command.addOption(new Option(`--${kebab(name)} <n>`, text).argParser(toNumber))
  return command
    .option('--stop <text...>', 'end at any of these texts')
    .option('--ignore-eos', 'go on after end of text')
}

export function samplingParams(flags: Readonly<Record<string, unknown>>): SamplingParams {
  const names = [...Object.keys(samplingFlags), 'stop', 'ignoreEos']
  return Object.fromEntries(names.flatMap((name) => (flags[name] === undefined ? [] : [[name, flags[name]]])))
}
