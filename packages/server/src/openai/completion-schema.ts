import { z } from 'zod'
import { checkStreamOptions, samplingFields, schedulingFields, streamFields } from './fields.ts'
import { promptsSchema } from './prompts.ts'
import { structuredFields } from './structured-outputs.ts'
import { labels, unsupportedInCompletions } from './unsupported.ts'

/** Most completions that one request may ask for: prompts times `n`. */
const maxChoices = 1024

/** Body of POST /v1/completions: every parameter of OpenAI's is here, and so are those of vLLM that we have. */
export const completionSchema = z
  .strictObject({
    model: z.string(),
    prompt: promptsSchema,
    max_tokens: z.int().min(1).optional(),
    logprobs: z.int().min(0).max(20).optional(),
    echo: z.boolean().default(false),
    best_of: z.int().min(1).optional(),
    ...samplingFields,
    ...schedulingFields,
    ...structuredFields,
    ...streamFields,
    ...labels,
    ...unsupportedInCompletions,
  })
  .superRefine((body, context) => {
    checkStreamOptions(body, context)
    const { n = 1, best_of = n, echo, logprobs, prompt } = body
    const refuse = (name: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [name], message, params: { code: 'unsupported_parameter' } })
    if (best_of !== n) refuse('best_of', `must equal n, which is ${n}: all completions are given back`)
    if (echo && logprobs !== undefined)
      refuse('logprobs', 'log-probabilities of the prompt are not supported; remove echo')
    if (prompt.length * n > maxChoices)
      context.addIssue({ code: 'custom', path: ['prompt'], message: `asks for more than ${maxChoices} completions` })
  })

export type CompletionRequest = z.output<typeof completionSchema>
