import { SlipwayError } from '@slipway/tensor'
import { Fields } from './fields.ts'
import { isObject, show } from './json-file.ts'
import type { JsonObject } from './json-file.ts'

export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalMaxPositionEmbeddings: number
    }
  | {
      readonly type: 'yarn'
      readonly factor: number
      readonly originalMaxPositionEmbeddings: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly attentionFactor: number | null
      readonly mscale: number | null
      readonly mscaleAllDim: number | null
      readonly truncate: boolean
    }

export interface RopeConfig {
  /** Base of the wavelengths. */
  readonly theta: number
  /** Leading dimensions of a head that rotate; even, at most the head's size. */
  readonly rotaryDim: number
  readonly scaling: RopeScaling | null
}

/**
 * Reads the rotary embedding from a config, in the form of transformers 5 (`rope_parameters`) and in the older ones
 * (`rope_theta` with `rope_scaling`, its `type` or `rope_type`).
 * Source of names, defaults and precedence: transformers 5.18, `modeling_rope_utils.py`.
 */
export function parseRope(fields: Fields, headDim: number, maxPositionEmbeddings: number): RopeConfig {
  const { file } = fields
  refuseLocalTheta(fields)
  // an empty rope_scaling counts as none there
  const old = fields.json['rope_scaling'] ?? {}
  const key = isObject(old) && Object.keys(old).length === 0 ? 'rope_parameters' : 'rope_scaling'
  const given = fields.json[key] ?? {}
  if (!isObject(given)) throw fields.fault(key, given, 'an object')
  const rope = new Fields(flatten(given, fields, key), file, `${key}.`)
  const theta =
    rope.number(['rope_theta'], { min: 0, above: true }) ?? fields.number(['rope_theta'], { min: 0, above: true })
  const partial = rope.has('partial_rotary_factor') ? rope : fields
  const fraction = partial.number(['partial_rotary_factor'], { min: 0, max: 1, above: true }) ?? 1
  const rotaryDim = Math.trunc(headDim * fraction)
  if (rotaryDim === 0 || rotaryDim % 2 !== 0) {
    const message = `${file}: rope turns ${rotaryDim} of ${headDim} dimensions of a head; expected an even number above 0`
    throw new SlipwayError('checkpoint', message, { file })
  }
  return { theta: theta ?? 10_000, rotaryDim, scaling: parseScaling(rope, fields, key, maxPositionEmbeddings) }
}

/** A second theta for the sliding layers means that one set of frequencies is not enough. */
function refuseLocalTheta(fields: Fields): void {
  const local = fields.number(['rope_local_base_freq'])
  if (local === undefined || local === fields.number(['rope_theta'])) return
  const message = `${fields.file}: "rope_local_base_freq" differs from "rope_theta"; one rope for all layers is supported`
  throw new SlipwayError('unsupported', message, { file: fields.file, key: 'rope_local_base_freq' })
}

/** The form nested by layer type is understood when all layer types agree. */
function flatten(given: JsonObject, fields: Fields, key: string): JsonObject {
  const nested = Object.entries(given).filter(([name, value]) => name.endsWith('_attention') && isObject(value))
  const [first] = nested
  if (!first) return given
  if (nested.every(([, value]) => JSON.stringify(value) === JSON.stringify(first[1]))) return first[1] as JsonObject
  const types = nested.map(([name]) => name).join(', ')
  const message = `${fields.file}: "${key}" differs between layer types (${types}); one rope for all layers is supported`
  throw new SlipwayError('unsupported', message, { file: fields.file, key })
}

function parseScaling(rope: Fields, fields: Fields, key: string, maxPositionEmbeddings: number): RopeScaling | null {
  const type = rope.string('rope_type', 'type') ?? 'default'
  const positive = { min: 0, above: true }
  const required = (name: string): number => {
    const value = rope.number([name], positive)
    if (value === undefined) throw rope.missing([name], `a number above 0, as rope type "${type}" needs it`)
    return value
  }
  const original = (): number =>
    fields.integer(['original_max_position_embeddings']) ??
    rope.integer(['original_max_position_embeddings']) ??
    maxPositionEmbeddings
  switch (type) {
    case 'default':
      return null
    case 'linear':
      return { type, factor: required('factor') }
    case 'llama3': {
      const lowFreqFactor = required('low_freq_factor')
      const highFreqFactor = required('high_freq_factor')
      if (highFreqFactor <= lowFreqFactor) {
        throw rope.fault('high_freq_factor', highFreqFactor, `more than low_freq_factor, ${lowFreqFactor}`)
      }
      const factor = required('factor')
      return { type, factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original() }
    }
    case 'yarn':
      return {
        type,
        factor: rope.number(['factor'], positive) ?? maxPositionEmbeddings / original(),
        originalMaxPositionEmbeddings: original(),
        // 0 counts as not given there
        betaFast: rope.number(['beta_fast'], { min: 0 }) || 32,
        betaSlow: rope.number(['beta_slow'], { min: 0 }) || 1,
        attentionFactor: rope.number(['attention_factor'], { min: 0 }) ?? null,
        mscale: rope.number(['mscale']) ?? null,
        mscaleAllDim: rope.number(['mscale_all_dim']) ?? null,
        truncate: rope.boolean('truncate') ?? true,
      }
    default: {
      const message = `${fields.file}: "${key}" has rope type ${show(type)}; supported are default, linear, llama3, yarn`
      throw new SlipwayError('unsupported', message, { file: fields.file, key })
    }
  }
}
