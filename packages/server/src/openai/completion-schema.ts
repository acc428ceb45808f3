import { z } from 'zod'
import { checkGeneration, generationFields } from './fields.ts'
import { promptsSchema } from './prompts.ts'

/** Most completions that one request may ask for: prompts times `n`. */
const maxChoices = 1024

/** Body of POST /v1/completions: every parameter of OpenAI's is here, and so are those of vLLM that we have. */
export const completionSchema = z
  .strictObject({
    model: z.string(),
    prompt: promptsSchema,
    /** The answer is to stand between the prompt and this. */
    suffix: z.string().optional(),
    max_tokens: z.int().min(0).optional(),
    logprobs: z.int().min(0).max(20).optional(),
    echo: z.boolean().default(false),
    best_of: z.int().min(1).optional(),
    ...generationFields,
  })
  .superRefine((body, context) => {
    checkGeneration(body, context)
    const { n = 1, best_of = n, echo, logprobs, prompt_logprobs, prompt, suffix, stream, max_tokens } = body
    const refuse = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message })
    if (stream && best_of !== n) refuse('best_of', 'which are best shows at the end; remove stream')
    if (echo && stream && logprobs !== undefined && n > 1)
      refuse('echo', 'with logprobs in a stream needs n 1; remove one of them')
    if (echo && logprobs !== undefined && prompt_logprobs !== undefined && logprobs !== prompt_logprobs)
      refuse('prompt_logprobs', 'echo gives as many as logprobs says; give one of them')
    if (max_tokens === 0 && (!echo || stream)) refuse('max_tokens', 'may be 0 only with echo, and not in a stream')
    if (suffix && echo)
      refuse('suffix', 'cannot be combined with echo, since the answer does not end there; remove echo')
    if (suffix && prompt.some((given) => typeof given !== 'string'))
      refuse(
        'suffix',
        'needs a prompt of text, around which the tokens for filling in are put; token ids stay as they are',
      )
    if (prompt.length * Math.max(n, best_of) > maxChoices)
      refuse('prompt', `asks for more than ${maxChoices} completions`)
  })
  .meta({ title: 'CompletionRequest' })

export type CompletionRequest = z.output<typeof completionSchema>
