import { z } from 'zod'

// `unknown`, since zod would look for placeholders in the type of a schema
const forms = z.registry<{ readonly form: unknown }>()

/** Says what a schema reads by another one, where code that transforms hides it from the OpenAPI document. */
export function reading<S extends z.ZodType>(schema: S, form: z.ZodType): S {
  forms.add(schema, { form })
  return schema
}

/** For the document: exactly one of these parameters must be given. A check in code says so to those who ask. */
export function oneOf(...names: readonly string[]) {
  return { oneOf: names.map((name) => ({ required: [name] })) }
}

/** What was said of a schema, if anything. */
export function formOf(schema: z.core.$ZodType): z.ZodType | undefined {
  return forms.get(schema)?.form as z.ZodType | undefined
}
