import { SlipwayError } from '@slipway/tensor'
import { show } from './json-file.ts'
import type { JsonObject } from './json-file.ts'

export interface Range {
  readonly min?: number
  readonly max?: number
  /** Refuses `min` itself. */
  readonly above?: boolean
}

/** Sizes and counts that a 32-bit kernel index can hold. */
const maxCount = 2 ** 31 - 1

/**
 * Reads typed values from a JSON object in which the same thing goes under several names.
 * A name that is absent or null counts as not given. Every fault is a `checkpoint` error with file, key and value.
 */
export class Fields {
  readonly json: JsonObject
  readonly file: string
  readonly #prefix: string

  constructor(json: JsonObject, file: string, prefix = '') {
    this.json = json
    this.file = file
    this.#prefix = prefix
  }

  has(key: string): boolean {
    return this.json[key] !== undefined && this.json[key] !== null
  }

  /** The first of `keys` that is given. */
  find(...keys: readonly string[]): { key: string; value: unknown } | undefined {
    const key = keys.find((name) => this.has(name))
    return key === undefined ? undefined : { key, value: this.json[key] }
  }

  fault(key: string, value: unknown, expected: string): SlipwayError {
    const path = this.#prefix + key
    const message = `${this.file}: "${path}" is ${show(value)}; expected ${expected}`
    return new SlipwayError('checkpoint', message, { file: this.file, key: path })
  }

  missing(keys: readonly string[], expected: string): SlipwayError {
    const [first = '', ...others] = keys.map((key) => `"${this.#prefix}${key}"`)
    const also = others.length > 0 ? ` (or ${others.join(', ')})` : ''
    const message = `${this.file}: ${first}${also} is missing; expected ${expected}`
    return new SlipwayError('checkpoint', message, { file: this.file, key: this.#prefix + (keys[0] ?? '') })
  }

  number(keys: readonly string[], range: Range = {}): number | undefined {
    const found = this.find(...keys)
    if (!found) return undefined
    const { min = -Infinity, max = Infinity, above = false } = range
    const { key, value } = found
    const fits =
      typeof value === 'number' && Number.isFinite(value) && value <= max && (above ? value > min : value >= min)
    if (!fits) throw this.fault(key, value, `a number${describe(range)}`)
    return value
  }

  integer(keys: readonly string[], range: Range = {}): number | undefined {
    const found = this.find(...keys)
    if (!found) return undefined
    const { min = 1, max = maxCount } = range
    const { key, value } = found
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw this.fault(key, value, `a whole number${describe({ min, max })}`)
    }
    return value
  }

  count(...keys: readonly string[]): number {
    const value = this.integer(keys)
    if (value === undefined) throw this.missing(keys, 'a whole number of at least 1')
    return value
  }

  boolean(key: string): boolean | undefined {
    if (!this.has(key)) return undefined
    const value = this.json[key]
    if (typeof value !== 'boolean') throw this.fault(key, value, 'true or false')
    return value
  }

  string(...keys: readonly string[]): string | undefined {
    const found = this.find(...keys)
    if (!found) return undefined
    if (typeof found.value !== 'string' || found.value === '') throw this.fault(found.key, found.value, 'a text')
    return found.value
  }

  /** A token id; the negative ids that some files use for "none" are null. */
  tokenId(key: string): number | null {
    const id = this.integer([key], { min: -maxCount })
    return id === undefined || id < 0 ? null : id
  }

  /** One token id or a list of them. */
  tokenIds(key: string): readonly number[] {
    const value = this.json[key]
    if (!Array.isArray(value)) {
      const id = this.tokenId(key)
      return id === null ? [] : [id]
    }
    for (const id of value) {
      if (!Number.isInteger(id) || id < 0 || id > maxCount) throw this.fault(key, value, 'token ids')
    }
    return [...new Set(value as number[])]
  }
}

function describe({ min, max, above }: Range): string {
  const low = min === undefined ? '' : above ? ` above ${min}` : ` of at least ${min}`
  const high = max === undefined ? '' : `${low ? ' and' : ' of'} at most ${max}`
  return low + high
}
