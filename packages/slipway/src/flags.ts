import type { LLMOptions, SamplingParams } from '@slipway/engine'
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
export function toLLMOptions({ downloadDir, ...options }: z.input<typeof modelConfigSchema>): LLMOptions {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  return { ...given, ...(downloadDir !== undefined && { cacheDir: downloadDir }) }
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
