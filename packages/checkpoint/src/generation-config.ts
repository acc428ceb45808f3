import { join } from 'node:path'
import { Fields } from './fields.ts'
import { deepFreeze, readJsonObject } from './json-file.ts'
import type { JsonObject } from './json-file.ts'

/** What the makers of a model recommend for sampling; a request overrides it. */
export interface GenerationConfig {
  readonly eosTokenIds: readonly number[]
  readonly temperature?: number
  readonly topK?: number
  readonly topP?: number
  readonly minP?: number
  readonly typicalP?: number
  readonly repetitionPenalty?: number
  readonly maxNewTokens?: number
  readonly doSample?: boolean
}

/** Reads `generation_config.json`; a checkpoint without one gives an empty record. */
export async function readGenerationConfig(directory: string): Promise<GenerationConfig> {
  const file = join(directory, 'generation_config.json')
  return parseGenerationConfig((await readJsonObject(file)) ?? {}, file)
}

/** Throws a `checkpoint` error with key and value for a number out of range. `file` is only for messages. */
export function parseGenerationConfig(json: JsonObject, file = 'generation_config.json'): GenerationConfig {
  const fields = new Fields(json, file)
  const optional = {
    temperature: fields.number(['temperature'], { min: 0 }),
    // -1 is how some files say "off"
    topK: fields.integer(['top_k'], { min: -1 }),
    topP: fields.number(['top_p'], { min: 0, max: 1 }),
    minP: fields.number(['min_p'], { min: 0, max: 1 }),
    typicalP: fields.number(['typical_p'], { min: 0, max: 1 }),
    repetitionPenalty: fields.number(['repetition_penalty'], { min: 0, above: true }),
    maxNewTokens: fields.integer(['max_new_tokens']),
    doSample: fields.boolean('do_sample'),
  }
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined))
  return deepFreeze({ eosTokenIds: fields.tokenIds('eos_token_id'), ...given })
}
