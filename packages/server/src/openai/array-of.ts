import { z } from 'zod'
import { reading } from '../openapi/input-forms.ts'

/**
 * An array checked up to its first faulty element. `z.array` collects the faults of all elements, which for a body of
 * some megabytes takes seconds and gigabytes. With a `noun` it has to hold at least one.
 */
export function arrayOf<T>(element: z.ZodType<T>, noun?: string) {
  const read = z.unknown().transform((value, context): T[] => {
    if (!Array.isArray(value)) {
      context.addIssue({ code: 'invalid_type', expected: 'array', input: value })
      return z.NEVER
    }
    if (noun !== undefined && value.length === 0)
      // not the end, or a union would tell what else it takes
      context.addIssue({ code: 'custom', message: `must hold at least one ${noun}`, input: value, continue: true })
    const elements: T[] = []
    for (const [i, given] of value.entries()) {
      const parsed = element.safeParse(given)
      if (!parsed.success) {
        const issue = parsed.error.issues[0]!
        context.addIssue({ ...issue, input: given, path: [i, ...issue.path] })
        return z.NEVER
      }
      elements.push(parsed.data)
    }
    return elements
  })
  const form = z.array(element)
  return reading(read, noun === undefined ? form : form.min(1))
}
