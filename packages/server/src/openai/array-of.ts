import { z } from 'zod'

/**
 * An array checked up to its first faulty element. `z.array` collects the faults of all elements, which for a body of
 * some megabytes takes seconds and gigabytes.
 */
export function arrayOf<T>(element: z.ZodType<T>) {
  return z.unknown().transform((value, context): T[] => {
    if (!Array.isArray(value)) {
      context.addIssue({ code: 'invalid_type', expected: 'array', input: value })
      return z.NEVER
    }
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
}
