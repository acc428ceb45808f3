import { z } from 'zod'
import { reading } from '../openapi/input-forms.ts'

/** A text, or token ids. */
export type GivenPrompt = string | number[]

const tokenIds = z.array(z.int()).min(1)

/** `prompt` in its four forms: a text, token ids, or a list of either. */
export const promptsSchema = reading(
  z.unknown().transform((value, context): GivenPrompt[] => {
    if (isPrompt(value)) return [value]
    const list: unknown[] = Array.isArray(value) ? value : []
    const fault = list.findIndex((prompt) => !isPrompt(prompt))
    if (list.length > 0 && fault < 0) return list as GivenPrompt[]
    if (fault < 0) context.addIssue('must be a text, token ids, or a list of either that is not empty')
    else context.addIssue({ code: 'custom', path: [fault], message: 'must be a text or token ids' })
    return z.NEVER
  }),
  z.union([z.string(), tokenIds, z.array(z.union([z.string(), tokenIds])).min(1)]),
)

function isPrompt(value: unknown): value is GivenPrompt {
  return typeof value === 'string' || (Array.isArray(value) && value.length > 0 && value.every(Number.isInteger))
}
