import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import { Fields } from './fields.ts'
import { isObject, readJsonObject, show, type JsonObject } from './json-file.ts'

/** What adapter_config.json says of a LoRA adapter, as the PEFT library writes it. */
export interface LoraConfig {
  readonly baseModel: string | undefined
  readonly rank: number
  /** Whether a module of that name is adapted. */
  targets(module: string): boolean
  /** Rank of a module, by `rank_pattern`. */
  rankOf(module: string): number
  /** alpha / r, or alpha / sqrt(r) with `use_rslora`; alpha by `alpha_pattern`. */
  scaleOf(module: string): number
}

export const adapterConfigFile = 'adapter_config.json'

/** Fields that say how an adapter was trained, or where it belongs, and nothing of what it computes. */
const harmless = new Set(
  (
    'auto_mapping base_model_name_or_path revision task_type inference_mode peft_version peft_type lora_dropout ' +
    'loftq_config eva_config corda_config megatron_core runtime_config fan_in_fan_out qalora_group_size ' +
    'ensure_weight_tying lora_ga_config'
  ).split(' '),
)
/** Fields that are read here. */
const understood = new Set(
  (
    'r lora_alpha target_modules exclude_modules use_rslora rank_pattern alpha_pattern bias layers_to_transform ' +
    'layers_pattern init_lora_weights'
  ).split(' '),
)
const remedies: Readonly<Record<string, string>> = {
  use_dora: 'DoRA adapters are not supported; merge the adapter into its model (merge_and_unload)',
  modules_to_save: 'whole modules beside the adapter are not supported; merge the adapter into its model',
  target_parameters: 'adapters of single parameters, such as fused experts, are not supported; merge the adapter',
  lora_bias: 'adapters with biases are not supported; merge the adapter into its model',
}

/** Reads and checks adapter_config.json of a LoRA adapter; what would change its results unseen is refused. */
export async function readLoraConfig(directory: string): Promise<LoraConfig> {
  const file = join(directory, adapterConfigFile)
  const json = await readJsonObject(file)
  if (!json)
    throw new SlipwayError(
      'checkpoint',
      `${directory}: has no ${adapterConfigFile}; give the folder of a PEFT adapter`,
      {
        file: directory,
      },
    )
  return parseLoraConfig(json, file)
}

export function parseLoraConfig(json: JsonObject, file: string): LoraConfig {
  const fields = new Fields(json, file)
  const type = fields.string('peft_type')
  if (type !== 'LORA') throw refused(file, 'peft_type', type, 'only LORA and PREFIX_TUNING adapters can be loaded')
  const { bias = 'none', init_lora_weights: start } = json
  if (bias !== 'none' && bias !== null)
    throw refused(file, 'bias', bias, 'trained biases are not supported; merge the adapter into its model')
  // these begin by changing the weights of the model, which only the library does
  if (typeof start === 'string' && /^(pissa|olora|corda|loftq|lora_ga)/i.test(start))
    throw refused(
      file,
      'init_lora_weights',
      start,
      'save it converted to plain LoRA (path_initial_model_for_weight_conversion)',
    )
  for (const [key, value] of Object.entries(json))
    if (!harmless.has(key) && !understood.has(key) && !isNothing(value))
      throw refused(file, key, value, remedies[key] ?? 'this is not supported; merge the adapter into its model')

  const rank = fields.count('r')
  const alpha = fields.number(['lora_alpha'], { min: 0 }) ?? rank
  const rankOf = byPattern(file, 'rank_pattern', json['rank_pattern'], rank)
  const alphaOf = byPattern(file, 'alpha_pattern', json['alpha_pattern'], alpha)
  const isRankStabilised = fields.boolean('use_rslora') ?? false
  return {
    baseModel: fields.string('base_model_name_or_path'),
    rank,
    targets: targetTest(json, file),
    rankOf,
    scaleOf: (module) => alphaOf(module) / (isRankStabilised ? Math.sqrt(rankOf(module)) : rankOf(module)),
  }
}

function refused(file: string, key: string, value: unknown, remedy: string): SlipwayError {
  return new SlipwayError('unsupported', `${file}: "${key}" is ${show(value)}: ${remedy}`, { file, key })
}

/** Values by which the library says that a feature is not used. */
function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === false || value === '') return true
  return typeof value === 'object' && Object.keys(value).length === 0
}

/** The library's rule: the first pattern that matches the end of the name, from a dot or the beginning on. */
function byPattern(file: string, key: string, patterns: unknown, preset: number): (module: string) => number {
  if (patterns === undefined || patterns === null) return () => preset
  if (!isObject(patterns)) throw new Fields({}, file).fault(key, patterns, 'an object of numbers')
  const rules = Object.entries(patterns).map(([pattern, value]) => {
    if (typeof value !== 'number' || !(value > 0))
      throw new Fields({}, file).fault(`${key}.${pattern}`, value, 'a number above 0')
    return { test: expression('^(?:.*\\.)?(?:', pattern, ')$', file, key), value }
  })
  return (module) => rules.find(({ test }) => test.test(module))?.value ?? preset
}

function targetTest(json: JsonObject, file: string): (module: string) => boolean {
  const isTarget = moduleTest(json['target_modules'], file, 'target_modules')
  const isExcluded = isNothing(json['exclude_modules'])
    ? () => false
    : moduleTest(json['exclude_modules'], file, 'exclude_modules')
  const isInLayer = layerTest(json, file)
  return (module) => isTarget(module) && !isExcluded(module) && isInLayer(module)
}

/** A list names ends of module names, a text is an expression for whole ones; "all-linear" leaves out the head. */
function moduleTest(value: unknown, file: string, key: string): (module: string) => boolean {
  if (value === 'all-linear') return (module) => !/(^|\.)(lm_head|embed_tokens)$/.test(module)
  if (typeof value === 'string' && value !== '') {
    const test = expression('^(?:', value, ')$', file, key)
    return (module) => test.test(module)
  }
  if (!Array.isArray(value) || !value.every((name) => typeof name === 'string'))
    throw new Fields({}, file).fault(key, value, 'names of modules, an expression, or "all-linear"')
  return (module) => value.some((name) => module === name || module.endsWith(`.${name}`))
}

function layerTest(json: JsonObject, file: string): (module: string) => boolean {
  const layers = json['layers_to_transform']
  if (isNothing(layers) && layers !== 0) return () => true
  const wanted = new Set(Array.isArray(layers) ? layers : [layers])
  const given = json['layers_pattern']
  const names = isNothing(given) ? ['[^.]*'] : Array.isArray(given) ? given : [given]
  const tests = names.map((name) => expression('^.*\\.', String(name), '\\.(\\d+)\\.', file, 'layers_pattern'))
  return (module) => tests.some((test) => wanted.has(Number(test.exec(module)?.[1] ?? NaN)))
}

/** A Python expression; those that we cannot read are refused. */
function expression(before: string, pattern: string, after: string, file: string, key: string): RegExp {
  try {
    return new RegExp(before + pattern.replaceAll('(?P<', '(?<') + after, 's')
  } catch {
    throw refused(file, key, pattern, 'the expression cannot be read; write it in the common syntax, or give a list')
  }
}
