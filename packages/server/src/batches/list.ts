import { z } from 'zod'
import { refusal } from '../http/errors.ts'
import { reading } from '../openapi/input-forms.ts'

/** How many entries a list may have. */
export function limitUpTo(most: number, usual: number) {
  const message = `must be a number from 1 to ${most}`
  const read = z
    .string()
    .regex(/^\d{1,6}$/, message)
    .transform(Number)
    .refine((value) => value >= 1 && value <= most, message)
  return reading(read, z.int().min(1).max(most)).default(usual)
}

/** What `pageOf` makes. */
export function pageSchema(item: z.ZodType) {
  const id = z.string().nullable()
  return z.strictObject({
    object: z.literal('list'),
    data: z.array(item),
    first_id: id,
    last_id: id,
    has_more: z.boolean(),
  })
}

/** The part of a list that begins behind `after`, in OpenAI's form. */
export function pageOf<T extends { readonly id: string }>(
  items: readonly T[],
  { limit, after }: { readonly limit: number; readonly after?: string | undefined },
) {
  const at = after === undefined ? -1 : items.findIndex(({ id }) => id === after)
  if (after !== undefined && at < 0)
    throw refusal('after: there is nothing of that id', { param: 'after', code: 'invalid_value' })
  const data = items.slice(at + 1, at + 1 + limit)
  return {
    object: 'list' as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: at + 1 + limit < items.length,
  }
}
