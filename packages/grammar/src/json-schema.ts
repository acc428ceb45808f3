import { alt, checkRules, grammarFault, ref, repeat, seq, text, type Node } from './ast.ts'
import { isSchema, show, type Schema, type SchemaContext } from './json-common.ts'
import { arrayOf, objectOf } from './json-containers.ts'
import { anyNumber, numberOf } from './json-number.ts'
import { anyString, stringOf } from './json-string.ts'

export interface JsonOptions {
  /** True: one space after commas and colons and none elsewhere; otherwise the model may lay the text out. */
  readonly compact?: boolean
}

const limits = { depth: 64, schemas: 5000, values: 2000 }
const types = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const
type JsonType = (typeof types)[number]

/** Keywords that constrain, by the type to which they belong. */
const keywords: Readonly<Record<JsonType, readonly string[]>> = {
  object: [
    'properties',
    'required',
    'additionalProperties',
    'patternProperties',
    'propertyNames',
    'minProperties',
    'maxProperties',
  ],
  array: ['items', 'prefixItems', 'minItems', 'maxItems', 'uniqueItems'],
  string: ['pattern', 'format', 'minLength', 'maxLength'],
  number: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  integer: ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'],
  boolean: [],
  null: [],
}
const general = ['type', 'enum', 'const', 'anyOf', 'oneOf', 'allOf', '$ref']
/** Keywords that say something about a value but exclude none. */
const annotations = new Set(
  (
    '$schema $id $comment $defs definitions title description default example examples deprecated readOnly writeOnly ' +
    'discriminator contentMediaType contentEncoding'
  ).split(' '),
)
const known = new Set([...general, ...Object.values(keywords).flat()])

/** Rules of a grammar whose texts are the JSON values that fit the schema; keywords that cannot be held are refused. */
export function jsonSchemaRules(schema: unknown, { compact = false }: JsonOptions = {}): Map<string, Node> {
  const converter = new Converter(schema, compact)
  const rules = converter.convert()
  checkRules(rules, 'the JSON schema')
  return rules
}

class Converter {
  readonly #root: unknown
  readonly #rules = new Map<string, Node>()
  readonly #refs = new Map<string, string>()
  /** References to added rules, by what these are. */
  readonly #added = new Map<string, Node>()
  readonly #context: SchemaContext
  readonly #compact: boolean
  #numRules = 0
  #depth = 0
  #numSchemas = 0

  constructor(root: unknown, compact: boolean) {
    this.#root = root
    this.#compact = compact
    const gap = compact ? text('') : ref('gap')
    this.#context = {
      gap,
      comma: compact ? text(', ') : seq(text(','), gap),
      colon: compact ? text(': ') : seq(text(':'), gap),
      addRule: (node) => this.#add(node),
      visit: (schema, where) => this.#visit(schema, where),
    }
  }

  convert(): Map<string, Node> {
    // the first rule in the text is where a reader begins
    this.#rules.set('root', text(''))
    this.#refs.set('#', 'root')
    this.#rules.set('root', this.#visit(this.#root, 'schema'))
    if (!this.#compact)
      // bounded, because a model that has nothing to say may lay out for ever
      this.#rules.set(
        'gap',
        alt(text(''), text(' '), seq(repeat(text('\n'), 1, 2), repeat(text(' '), 0, 24), repeat(text('\t'), 0, 8))),
      )
    return this.#rules
  }

  /** A rule for the node; equal ones are one. */
  #add(node: Node): Node {
    const key = JSON.stringify(node)
    const known = this.#added.get(key)
    if (known) return known
    const name = `r${this.#numRules++}`
    const added = ref(name)
    this.#rules.set(name, node)
    this.#added.set(key, added)
    return added
  }

  #visit(schema: unknown, where: string): Node {
    if (++this.#numSchemas > limits.schemas)
      throw grammarFault(`the JSON schema: has more than ${limits.schemas} subschemas; make it smaller`)
    if (++this.#depth > limits.depth)
      throw grammarFault(`${where}: is nested deeper than ${limits.depth} levels; use $defs or flatten it`)
    const node = this.#convert(schema, where)
    this.#depth--
    return node
  }

  #convert(schema: unknown, where: string): Node {
    if (schema === true) return this.#anyValue()
    if (schema === false) throw grammarFault(`${where}: is false, so nothing fits it; remove it`)
    if (!isSchema(schema)) throw grammarFault(`${where}: must be an object or true, found ${show(schema)}`)
    for (const key of Object.keys(schema))
      if (!known.has(key) && !annotations.has(key) && !key.startsWith('x-'))
        throw grammarFault(`${where}: the keyword "${key}" cannot be enforced; remove it or express it otherwise`)
    const given = Object.keys(schema).filter((key) => known.has(key))
    const alone = given.find((key) => ['$ref', 'anyOf', 'oneOf', 'allOf'].includes(key))
    if (alone !== undefined) {
      const beside = given.filter((key) => key !== alone && !this.#isImplied(schema, key, alone))
      if (beside.length > 0)
        throw grammarFault(`${where}: "${beside[0]}" beside "${alone}" cannot be enforced; move it into the branches`)
      return this.#combine(schema, alone, where)
    }
    if (schema['const'] !== undefined || 'const' in schema)
      return this.#oneOfValues([schema['const']], schema, 'const', where)
    if (schema['enum'] !== undefined) return this.#oneOfValues(schema['enum'], schema, 'enum', where)
    const named = typesOf(schema, where)
    if (named.length === 0) return this.#anyValue()
    const misplaced = given.find((key) => !general.includes(key) && !named.some((type) => keywords[type].includes(key)))
    if (misplaced !== undefined)
      throw grammarFault(`${where}: "${misplaced}" does not go with the type ${named.join(', ')}; remove it`)
    return alt(...named.map((type) => this.#ofType(type, schema, where)))
  }

  /** `type: object` beside branches that are all objects says nothing new. */
  #isImplied(schema: Schema, key: string, alone: string): boolean {
    const branches = schema[alone]
    if (key !== 'type' || !Array.isArray(branches)) return false
    return branches.every((branch) => isSchema(branch) && branch['type'] === schema['type'])
  }

  #combine(schema: Schema, keyword: string, where: string): Node {
    if (keyword === '$ref') return this.#reference(schema['$ref'], where)
    const branches = schema[keyword]
    if (!Array.isArray(branches) || branches.length === 0)
      throw grammarFault(`${where}.${keyword}: must be a list with at least one schema`)
    if (keyword === 'allOf' && branches.length > 1)
      throw grammarFault(`${where}: "allOf" of several schemas cannot be enforced; merge them into one`)
    if (keyword === 'oneOf') this.#requireDisjoint(branches, where)
    return alt(...branches.map((branch, i) => this.#visit(branch, `${where}.${keyword}[${i}]`)))
  }

  /** A value must fit exactly one branch of `oneOf`; that is so if types or a required constant tell them apart. */
  #requireDisjoint(branches: readonly unknown[], where: string): void {
    const resolved = branches.map((branch) => this.#resolve(branch))
    const isApart = (a: unknown, b: unknown): boolean => {
      if (!isSchema(a) || !isSchema(b)) return false
      const [left, right] = [typeTextsOf(a), typeTextsOf(b)]
      const overlaps = (x: string, y: string): boolean =>
        x === y || (x === 'number' && y === 'integer') || (x === 'integer' && y === 'number')
      if (left.length > 0 && right.length > 0 && !left.some((x) => right.some((y) => overlaps(x, y)))) return true
      return tagsOf(a).some(([key, values]) =>
        tagsOf(b).some(([other, others]) => other === key && !values.some((value) => others.includes(value))),
      )
    }
    for (const [i, a] of resolved.entries())
      for (const b of resolved.slice(i + 1))
        if (!isApart(a, b))
          throw grammarFault(
            `${where}: the branches of "oneOf" may overlap, which cannot be enforced; use "anyOf", or give each a required property with its own "const"`,
          )
  }

  #resolve(schema: unknown): unknown {
    let current = schema
    for (let i = 0; i < limits.depth && isSchema(current) && typeof current['$ref'] === 'string'; i++)
      current = this.#lookUp(current['$ref'])
    return current
  }

  #reference(pointer: unknown, where: string): Node {
    if (typeof pointer !== 'string' || (pointer !== '#' && !pointer.startsWith('#/')))
      throw grammarFault(`${where}.$ref: ${show(pointer)} is not within this schema; use "#/$defs/..."`)
    const done = this.#refs.get(pointer)
    if (done !== undefined) return ref(done)
    const target = this.#lookUp(pointer)
    if (target === undefined) throw grammarFault(`${where}.$ref: there is no ${show(pointer)} in this schema`)
    const name = `r${this.#numRules++}`
    this.#refs.set(pointer, name)
    // set first, so that the order of rules is that of their names
    this.#rules.set(name, text(''))
    this.#rules.set(name, this.#visit(target, pointer))
    return ref(name)
  }

  #lookUp(pointer: string): unknown {
    let current = this.#root
    for (const part of pointer.split('/').slice(1)) {
      const key = decodeURIComponentSafe(part).replaceAll('~1', '/').replaceAll('~0', '~')
      const holder = current as Readonly<Record<string, unknown>> | null
      if (typeof holder !== 'object' || holder === null || !Object.hasOwn(holder, key)) return undefined
      current = holder[key]
    }
    return current
  }

  #oneOfValues(values: unknown, schema: Schema, keyword: string, where: string): Node {
    if (!Array.isArray(values) || values.length === 0)
      throw grammarFault(`${where}.${keyword}: must be a list with at least one value`)
    if (values.length > limits.values)
      throw grammarFault(`${where}.${keyword}: has ${values.length} values, at most ${limits.values}; use a pattern`)
    const beside = Object.keys(schema).find((key) => known.has(key) && key !== keyword && key !== 'type')
    if (beside !== undefined)
      throw grammarFault(`${where}: "${beside}" beside "${keyword}" cannot be enforced; remove it`)
    const allowed = typeTextsOf(schema)
    const fitting = values.filter((value) => allowed.length === 0 || allowed.some((type) => isOfType(value, type)))
    if (fitting.length === 0)
      throw grammarFault(`${where}: no value of "${keyword}" has the type ${allowed.join(', ')}`)
    return alt(...fitting.map((value) => text(JSON.stringify(value))))
  }

  #ofType(type: JsonType, schema: Schema, where: string): Node {
    switch (type) {
      case 'object':
        return objectOf(schema, where, this.#context, () => this.#anyValue())
      case 'array':
        return arrayOf(schema, where, this.#context, () => this.#anyValue())
      case 'string':
        return stringOf(schema, where)
      case 'boolean':
        return alt(text('true'), text('false'))
      case 'null':
        return text('null')
      default:
        return numberOf(schema, type === 'integer', where, this.#context.addRule)
    }
  }

  /** Any JSON value: one rule that refers to itself. */
  #anyValue(): Node {
    if (!this.#rules.has('value')) {
      const { gap, comma, colon } = this.#context
      const value = ref('value')
      const list = (item: Node): Node => repeat(seq(item, repeat(seq(comma, item), 0, Infinity), gap), 0, 1)
      this.#rules.set('text', anyString)
      this.#rules.set('member', seq(ref('text'), colon, value))
      this.#rules.set('object', seq(text('{'), gap, list(ref('member')), text('}')))
      this.#rules.set('array', seq(text('['), gap, list(value), text(']')))
      const plain = [text('true'), text('false'), text('null')]
      this.#rules.set('value', alt(ref('object'), ref('array'), ref('text'), anyNumber, ...plain))
    }
    return ref('value')
  }
}

/** Grammar of any JSON object, which is what JSON mode means. */
export function jsonObjectRules(options: JsonOptions = {}): Map<string, Node> {
  return jsonSchemaRules({ type: 'object', additionalProperties: true }, options)
}

function typesOf(schema: Schema, where: string): JsonType[] {
  const { type } = schema
  if (type === undefined) {
    // a constraint on one type lets all others pass; a model is better served by that type
    const implied = types.filter((t) => t !== 'integer' && keywords[t].some((key) => key in schema))
    return implied
  }
  const list = Array.isArray(type) ? (type as unknown[]) : [type]
  const bad = list.find((t) => !types.includes(t as JsonType))
  if (list.length === 0 || bad !== undefined)
    throw grammarFault(`${where}.type: ${show(type)} is no type; use ${types.join(', ')}`)
  const named = [...new Set(list as JsonType[])]
  return named.includes('number') ? named.filter((t) => t !== 'integer') : named
}

function typeTextsOf(schema: Schema): string[] {
  const { type } = schema
  return (Array.isArray(type) ? type : type === undefined ? [] : [type]).map(String)
}

/** Required properties with a fixed set of values, which tell the branches of a union apart. */
function tagsOf(schema: Schema): [string, string[]][] {
  const { properties, required } = schema
  if (!isSchema(properties) || !Array.isArray(required)) return []
  return Object.entries(properties).flatMap(([key, value]): [string, string[]][] => {
    if (!required.includes(key) || !isSchema(value)) return []
    const values = 'const' in value ? [value['const']] : value['enum']
    return Array.isArray(values) ? [[key, values.map((v) => JSON.stringify(v))]] : []
  })
}

function isOfType(value: unknown, type: string): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'null') return value === null
  if (type === 'array') return Array.isArray(value)
  if (type === 'object') return isSchema(value)
  return typeof value === type
}

function decodeURIComponentSafe(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
