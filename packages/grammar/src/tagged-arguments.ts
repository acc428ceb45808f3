import {
  addAll,
  alt,
  chars,
  checkRules,
  grammarFault,
  optional,
  ref,
  repeat,
  seq,
  text,
  type CodeRange,
  type Node,
} from './ast.ts'
import { isSchema, show, type Schema } from './json-common.ts'
import { jsonSchemaRules, type JsonOptions } from './json-schema.ts'
import { stringLimits, stringPattern } from './json-string.ts'
import { complement, subtract } from './ranges.ts'
import { parseRegex } from './regex.ts'
import type { TagForm } from './tool-grammar.ts'

interface TaggedOptions extends JsonOptions {
  /** Takes any text for a value whose schema cannot be enforced. */
  readonly isLoose?: boolean
}

/** Keywords of the arguments' own schema that say no more than is enforced, or nothing. */
const known = new Set(
  '$schema $id $defs definitions title description type properties required additionalProperties strict'.split(' '),
)
const stringKeywords = new Set(['pattern', 'format', 'minLength', 'maxLength'])
/** Longer chains of references are taken for endless. */
const maxReferences = 16

/**
 * Arguments as keys and values between tags: strings stand as they are, other values as JSON. Only properties that the
 * schema names are written, in its order.
 */
export function taggedArguments(schema: unknown, tags: TagForm, options: TaggedOptions): Map<string, Node> {
  return new TaggedArguments(schema, tags, options).convert()
}

class TaggedArguments {
  readonly #root: Schema
  readonly #tags: TagForm
  readonly #options: TaggedOptions
  readonly #rules = new Map<string, Node>([['root', text('')]])
  #numRules = 0

  constructor(schema: unknown, tags: TagForm, options: TaggedOptions) {
    if (!isSchema(schema)) throw grammarFault(`schema: must be an object, found ${show(schema)}`)
    this.#root = schema
    this.#tags = tags
    this.#options = options
  }

  convert(): Map<string, Node> {
    const schema = this.#resolve(this.#root, 'schema')
    const foreign = Object.keys(schema).find((key) => !known.has(key) && !key.startsWith('x-'))
    if (foreign !== undefined && !this.#options.isLoose)
      throw grammarFault(`schema: "${foreign}" cannot be enforced on the arguments that this model writes between tags`)
    const { properties = {}, required = [] } = schema
    if (!isSchema(properties)) throw grammarFault(`schema.properties: must be an object, found ${show(properties)}`)
    const needed = new Set(Array.isArray(required) ? required : [])
    const lost = [...needed].find((name) => !Object.hasOwn(properties, name as string))
    if (lost !== undefined && !this.#options.isLoose)
      throw grammarFault(`schema.required: ${show(lost)} is none of the properties`)
    const { key, value } = this.#tags
    const parts = Object.entries(properties).map(([name, property]) => {
      if (/[\n<>]/.test(name) || name !== name.trim())
        throw grammarFault(`schema.properties: the name ${show(name)} cannot stand between tags`)
      const node = seq(text(key[0] + name + key[1] + value[0]), this.#value(property, name), text(value[1]))
      return needed.has(name) ? node : optional(node)
    })
    this.#rules.set('root', seq(...parts))
    checkRules(this.#rules, 'the JSON schema')
    return this.#rules
  }

  #value(property: unknown, name: string): Node {
    try {
      const where = `schema.properties.${name}`
      return this.#branches(property, where, maxReferences, this.#typesOf(property, where, maxReferences))
    } catch (error) {
      if (this.#options.isLoose) return this.#anyText()
      throw error
    }
  }

  /** The value of a property, by what it may be: a parser takes JSON of an allowed type for such, and else a string. */
  #branches(given: unknown, where: string, left: number, types: ReadonlySet<string>): Node {
    if (left === 0) throw grammarFault(`${where}: is nested too deeply`)
    if (given === true) return this.#anyText()
    const schema = this.#resolve(given, where)
    const values = 'const' in schema ? [schema['const']] : schema['enum']
    if (Array.isArray(values)) return alt(...values.map((value) => this.#constant(value, where, types)))
    for (const key of ['anyOf', 'oneOf']) {
      const options = schema[key]
      if (Array.isArray(options))
        return alt(...options.map((option, i) => this.#branches(option, `${where}.${key}[${i}]`, left - 1, types)))
    }
    const { type } = schema
    if (Array.isArray(type) && type.includes('string')) {
      const rest = type.filter((one) => one !== 'string')
      const string = this.#string(schema, where, types)
      const other = Object.fromEntries(Object.entries(schema).filter(([key]) => !stringKeywords.has(key)))
      return rest.length === 0 ? string : alt(string, this.#json({ ...other, type: rest }))
    }
    if (type === undefined && !('allOf' in schema) && !('properties' in schema)) return this.#anyText()
    return type === 'string' ? this.#string(schema, where, types) : this.#json(schema)
  }

  /** The types of a value, by all branches of its schema. */
  #typesOf(given: unknown, where: string, left: number): Set<string> {
    if (left === 0 || given === true) return new Set()
    const schema = this.#resolve(given, where)
    const values = 'const' in schema ? [schema['const']] : schema['enum']
    if (Array.isArray(values)) return new Set(values.map(typeOf))
    const options = schema['anyOf'] ?? schema['oneOf']
    if (Array.isArray(options)) return new Set(options.flatMap((one) => [...this.#typesOf(one, where, left - 1)]))
    return new Set([schema['type']].flat().map(String))
  }

  #constant(value: unknown, where: string, types: ReadonlySet<string>): Node {
    if (typeof value !== 'string') return text(JSON.stringify(value))
    if (beginnings(types).includes(value.trimStart().charAt(0)) && value !== '')
      throw grammarFault(`${where}: the text ${show(value)} could be JSON of another type that is allowed`)
    if (this.#tags.never.some((marker) => value.includes(marker)))
      throw grammarFault(`${where}: the value ${show(value)} holds a marker of this model's calls`)
    return text(value)
  }

  #json(schema: Schema): Node {
    const prefix = `v${this.#numRules++}_`
    const { $defs, definitions } = this.#root
    const whole = {
      ...($defs !== undefined && { $defs }),
      ...(definitions !== undefined && { definitions }),
      ...schema,
    }
    addAll(this.#rules, prefix, jsonSchemaRules(whole, this.#options))
    return ref(`${prefix}root`)
  }

  #string(schema: Schema, where: string, types: ReadonlySet<string>): Node {
    const pattern = stringPattern(schema, where)
    const reserved = beginnings(types)
    if (pattern !== undefined && reserved !== '')
      throw grammarFault(`${where}: a text by a pattern or format could be JSON of another type that is allowed`)
    if (pattern !== undefined) return parseRegex(pattern, where)
    // counted text is kept simple: it does without the letter that begins a marker
    const plain = complement([bracket])
    const limits = stringLimits(schema, where)
    if (reserved === '') return limits ? repeat(chars(...plain), ...limits) : this.#anyText()
    const first = chars(...subtract(plain, Array.from(`${reserved} \n\r\t`, codeRange)))
    const [min, max] = limits ?? [0, Infinity]
    const rest = limits ? repeat(chars(...plain), Math.max(0, min - 1), max - 1) : this.#anyText()
    const some = max === 0 ? text('') : seq(first, rest)
    return min === 0 ? optional(some) : some
  }

  /** Text without any of the markers, as a loop over letters that are no bracket and over failed beginnings of markers. */
  #anyText(): Node {
    if (!this.#rules.has('any')) {
      const { never } = this.#tags
      const begins = [
        ...new Set(never.flatMap((marker) => Array.from(marker, (_, i) => marker.slice(0, i + 1)))),
      ].filter((begin) => !never.includes(begin))
      const goesOn = (begin: string): Node => {
        const next = never.filter((marker) => marker.startsWith(begin)).map((marker) => marker.charCodeAt(begin.length))
        const other = subtract(
          complement([bracket]),
          next.map((code) => [code, code] as const),
        )
        return seq(text(begin), chars(...other))
      }
      // a beginning that a new bracket cuts off
      const cut = repeat(alt(...begins.map(text)), 0, Infinity)
      this.#rules.set('cut', cut)
      const letter = alt(chars(...complement([bracket])), seq(ref('cut'), alt(...begins.map(goesOn))))
      this.#rules.set('any', seq(repeat(letter, 0, Infinity), ref('cut')))
    }
    return ref('any')
  }

  #resolve(given: unknown, where: string): Schema {
    let schema = given
    for (let left = maxReferences; isSchema(schema) && typeof schema['$ref'] === 'string'; left--) {
      const path = schema['$ref']
      if (left === 0 || !path.startsWith('#/')) throw grammarFault(`${where}: ${show(path)} cannot be followed`)
      schema = path
        .slice(2)
        .split('/')
        .reduce<unknown>(
          (value, key) => (isSchema(value) && Object.hasOwn(value, key) ? value[key] : undefined),
          this.#root,
        )
    }
    if (!isSchema(schema)) throw grammarFault(`${where}: must be a schema, found ${show(schema)}`)
    return schema
  }
}

const bracket = [0x3c, 0x3c] as const

function codeRange(letter: string): CodeRange {
  return [letter.charCodeAt(0), letter.charCodeAt(0)]
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}

/** First letters of JSON whose type, beside strings, may be bound: a parser would take such a text for it. */
function beginnings(types: ReadonlySet<string>): string {
  if (!types.has('string')) return ''
  const isNumeric = types.has('number') || types.has('integer')
  return `${isNumeric ? '-0123456789' : ''}${types.has('object') ? '{' : ''}${types.has('array') ? '[' : ''}`
}
