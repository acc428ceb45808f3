type Schema = Record<string, unknown>

/** Random JSON schemas from a seed; strings, lists and numbers are bounded, so that a text comes to its end. */
export class SchemaMaker {
  #state: number
  #definitions: string[] = []

  constructor(seed: number) {
    this.#state = (seed * 2654435761) % 2147483647 || 1
  }

  #random(count: number): number {
    this.#state = (Math.imul(this.#state, 48271) >>> 0) % 2147483647
    return this.#state % count
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#random(items.length)]!
  }

  /** A schema of an object, now and then with definitions that refer to each other or to themselves. */
  make(): Schema {
    this.#definitions = this.#random(3) === 0 ? ['part', 'tree'] : []
    const schema = this.#object(0)
    if (this.#definitions.length === 0) return schema
    const names = this.#definitions
    this.#definitions = []
    const part = this.#schema(2)
    const child = { anyOf: [{ type: 'null' }, { $ref: '#/$defs/tree' }] }
    const tree = { type: 'object', properties: { value: this.#leaf(), child }, required: ['value', 'child'] }
    return { ...schema, $defs: Object.fromEntries(names.map((name) => [name, name === 'part' ? part : tree])) }
  }

  #schema(depth: number): Schema {
    if (depth < 3 && this.#definitions.length > 0 && this.#random(4) === 0)
      return { $ref: `#/$defs/${this.#pick(this.#definitions)}` }
    const kind = depth >= 3 ? 2 : this.#random(6)
    if (kind === 0) return this.#object(depth + 1)
    if (kind === 1) return this.#array(depth + 1)
    if (kind === 5) return { anyOf: [this.#leaf(), this.#schema(depth + 1)] }
    return this.#leaf()
  }

  #object(depth: number): Schema {
    const names = ['name', 'age', 'city', 'a b', 'größe', 'x"y', 'items', 'n'].slice(
      0,
      1 + this.#random(depth === 0 ? 6 : 3),
    )
    const properties = Object.fromEntries(names.map((name) => [name, this.#schema(depth)]))
    const extra = this.#pick([{}, { additionalProperties: false }, { additionalProperties: false }])
    const required = names.filter(() => this.#random(3) > 0)
    if (this.#random(12) === 0)
      return { type: 'object', additionalProperties: { type: 'integer', minimum: 0, maximum: 9 }, maxProperties: 2 }
    return { type: 'object', title: 'a title', properties, ...(required.length > 0 && { required }), ...extra }
  }

  #array(depth: number): Schema {
    const min = this.#random(3)
    if (this.#random(4) === 0)
      return { type: 'array', prefixItems: [this.#leaf(), this.#leaf()], items: this.#leaf(), minItems: 2, maxItems: 3 }
    return { type: 'array', items: this.#schema(depth), minItems: min, maxItems: min + this.#random(3) }
  }

  #leaf(): Schema {
    switch (this.#random(11)) {
      case 0:
        return { type: 'string', maxLength: 2 + this.#random(20) }
      case 1:
        return { type: 'string', minLength: 1 + this.#random(4), maxLength: 5 + this.#random(30) }
      case 2:
        return {
          type: 'string',
          pattern: this.#pick([
            '^[A-Z][a-z]{1,5}$',
            '^(\\d{3}-)?\\d{4}$',
            '^.{2}\\W\\S$',
            '^[^a-f"]{1,6}$',
            'é|ü+?\\n',
          ]),
        }
      case 3:
        return {
          type: 'string',
          format: this.#pick(['date', 'time', 'date-time', 'uuid', 'ipv4', 'ipv6', 'duration', 'hostname']),
        }
      case 4:
        return { type: 'integer', minimum: -this.#random(200), maximum: this.#random(5000) }
      case 5:
        return { type: 'integer', exclusiveMinimum: this.#random(100) }
      case 6:
        return { type: 'number', minimum: this.#random(40) / 4 - 5, exclusiveMaximum: 5 + this.#random(300) / 8 }
      case 7:
        return { enum: ['red', 'a "quoted" one', 7, null, true, { deep: [1, 'x'] }].slice(this.#random(5)) }
      case 8:
        return { const: this.#pick<unknown>(['fixed', 3.25, [1, 2], 'größer\n']) }
      case 9:
        return { type: this.#pick<unknown>(['boolean', 'null', ['boolean', 'null'], 'number']) }
      default:
        return { type: ['integer', 'null'], minimum: 0, maximum: 1 + this.#random(1000) }
    }
  }
}
