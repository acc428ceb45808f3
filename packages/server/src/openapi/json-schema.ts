import { z } from 'zod'
import { formOf } from './input-forms.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

/** Turns schemas into JSON Schema; those with a title are kept once, under `components`, and referred to. */
export class JsonSchemas {
  readonly components: Record<string, JsonSchema> = {}

  /** What a schema reads: what it takes before it transforms. */
  read(schema: z.ZodType): JsonSchema {
    return this.#hoist(convert(schema, 'input')) as JsonSchema
  }

  /** What a value that fits it looks like. */
  written(schema: z.ZodType): JsonSchema {
    return this.#hoist(convert(schema, 'output')) as JsonSchema
  }

  #hoist(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((element) => this.#hoist(element))
    if (typeof value !== 'object' || value === null) return value
    const schema = Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#hoist(inner)]))
    const { title } = schema
    if (typeof title !== 'string') return schema
    const known = this.components[title]
    if (known && JSON.stringify(known) !== JSON.stringify(schema))
      throw new Error(`two schemas have the title ${title}`)
    this.components[title] = schema
    return { $ref: `#/components/schemas/${title}` }
  }
}

function convert(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io,
    reused: 'inline',
    override({ zodSchema, jsonSchema }) {
      const form = io === 'input' ? formOf(zodSchema) : undefined
      if (!form) return
      const { title, description, default: given } = jsonSchema
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key]
      const said = Object.entries({ title, description, default: given }).filter(([, value]) => value !== undefined)
      Object.assign(jsonSchema, convert(form, io), Object.fromEntries(said))
    },
  })
  return json
}
