import type { LLMOptions, SamplingParams } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Option, type Command } from 'commander'
import type { z } from 'zod'
import { addConfigFlags, toNumber } from './config/flags.ts'
import { resolveConfig, type Environment } from './config/resolve.ts'
import { modelConfigSchema } from './config/schema.ts'
import { kebab } from './config/settings.ts'

/** Adds everything that decides how a model is loaded and run. */
export function addEngineFlags(command: Command): Command {
  return addConfigFlags(command, modelConfigSchema)
}

/** What flags, environment and file say of the model, as the offline API takes it. */
export function engineOptions(flags: Readonly<Record<string, unknown>>, environment?: Environment): LLMOptions {
  return toLLMOptions(resolveConfig(modelConfigSchema, flags, environment).given)
}

/** Settings of the model in the names of the offline API. */
export function toLLMOptions({ downloadDir, loraModules, ...options }: z.input<typeof modelConfigSchema>): LLMOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return {
    ...given,
    ...(downloadDir !== undefined && { cacheDir: downloadDir }),
    ...(loraModules !== undefined && { loraModules: adapterFolders(loraModules) }),
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
