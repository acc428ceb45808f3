import type { OpenApi, Schema } from './document.ts'
import type { Random } from './random.ts'

/** Values that make sense where a name says more than its type. Amounts are small, so that a run takes minutes. */
export type Hints = Readonly<Record<string, readonly unknown[]>>

/** Given most of the time: without a limit each answer would be as long as the model allows. */
const usual = new Set(['max_tokens', 'max_output_tokens'])

const texts = [
  'Hello',
  'a',
  '',
  'one two three',
  'Schnee – ❄️ — 雪 🙂',
  '\u0000\u001f',
  'NaN',
  '-Infinity',
  '<|im_start|>user',
  '{"a": [1',
  '</think><tool_call>',
  '{{ messages }}{% for x in y %}',
  '\u202e\ufeff\ud83d',
  '1',
  '../../etc/passwd',
  'x'.repeat(300),
  ' \n\t ',
] as const
const numbers = [0, 1, -1, 0.5, 2, 1.5, -0.5, 1e-12, 1e300, -1e300, 20, 100]
const integers = [0, 1, 2, -1, 3, 7, 100, 511, 512, 2 ** 31, 2 ** 53 - 1, -(2 ** 53) + 1]
/** What stands for anything at all, JSON schemas among it. */
const anything: readonly unknown[] = [
  null,
  true,
  0,
  'text',
  [],
  {},
  [1, 'a', null],
  { type: 'object', properties: { x: { type: 'integer' } }, required: ['x'] },
  { type: 'string', maxLength: 3 },
  { enum: ['a', 'b'] },
  { $ref: '#/x' },
  { type: 'banana' },
  { pattern: '(' },
]

/** Makes values that a schema allows, at its edges above all. */
export class Values {
  readonly #random: Random
  readonly #document: OpenApi
  readonly #hints: Hints

  constructor(random: Random, document: OpenApi, hints: Hints) {
    this.#random = random
    this.#document = document
    this.#hints = hints
  }

  /** `name` is that of the property. */
  of(schema: Schema, name = ''): unknown {
    const random = this.#random
    const hints = Object.hasOwn(this.#hints, name) ? this.#hints[name]! : undefined
    if (hints && random.chance(0.9)) return random.pick(hints)
    if (schema.$ref !== undefined) return this.of(this.resolve(schema), name)
    if ('const' in schema) return schema.const
    if (schema.enum) return random.pick(schema.enum)
    const branches = schema.type === undefined ? (schema.anyOf ?? schema.oneOf) : undefined
    if (branches) return this.of(random.pick(branches), name)
    const type = typeof schema.type === 'object' ? random.pick(schema.type) : schema.type
    if (type === 'object') return this.#object(schema)
    if (type === 'array') return this.#array(schema, name)
    if (type === 'string') return this.#string(schema)
    if (type === 'integer') return this.#number(schema, integers)
    if (type === 'number') return this.#number(schema, numbers)
    if (type === 'boolean') return random.chance(0.5)
    return type === 'null' ? null : random.pick(anything)
  }

  resolve(schema: Schema): Schema {
    if (schema.$ref === undefined) return schema
    return this.#document.components.schemas[schema.$ref.slice('#/components/schemas/'.length)]!
  }

  #object(schema: Schema): Record<string, unknown> {
    const random = this.#random
    const { properties = {}, additionalProperties, propertyNames } = schema
    // of parameters that exclude each other one is taken
    const choices = [schema, ...(schema.allOf ?? [])].flatMap(({ oneOf }) => (oneOf ? [oneOf] : []))
    const chosen = choices.flatMap((branches) => random.pick(branches).required ?? [])
    const left = choices.flat().flatMap((branch) => branch.required ?? [])
    const required = [...(schema.required ?? []), ...chosen]
    const optional = Object.keys(properties).filter((name) => !required.includes(name) && !left.includes(name))
    // most requests have a few parameters, some have many
    const share = Math.min(1, random.pick([0, 1, 2, 4, 12]) / (optional.length + 1))
    const names = [...required, ...optional.filter((name) => random.chance(usual.has(name) ? 0.9 : share))]
    const entries = names.map((name): [string, unknown] => [name, this.of(properties[name]!, name)])
    if (typeof additionalProperties === 'object')
      for (let i = random.below(3); i > 0; i--)
        entries.push([String(this.of(propertyNames ?? { type: 'string' })), this.of(additionalProperties)])
    return Object.fromEntries(entries)
  }

  #array({ items = {}, minItems = 0, maxItems = Infinity }: Schema, name: string): unknown[] {
    const length = Math.min(maxItems, minItems + this.#random.pick([0, 0, 1, 1, 2, 3, 20]))
    return Array.from({ length }, () => this.of(items, `${name}[]`))
  }

  #string({ minLength = 0, maxLength = Infinity, pattern }: Schema): string {
    const form = new RegExp(pattern ?? '', 'u')
    const fitting = texts.filter((text) => form.test(text) && text.length >= minLength && text.length <= maxLength)
    return this.#random.pick(fitting)
  }

  #number({ minimum = -Infinity, maximum = Infinity }: Schema, values: readonly number[]): number {
    const edges = [minimum, maximum].filter((edge) => Number.isFinite(edge))
    return this.#random.pick([...values, ...edges].filter((value) => value >= minimum && value <= maximum))
  }
}
