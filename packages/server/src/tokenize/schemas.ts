import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import { messageSchema } from '../openai/messages.ts'
import { toolsSchema } from '../openai/tools.ts'
import { oneOf } from '../openapi/input-forms.ts'

/** What says how a conversation becomes text. */
const ofMessages = ['tools', 'add_generation_prompt', 'chat_template_kwargs'] as const

/** Body of POST /tokenize, as vLLM has it. */
export const tokenizeSchema = z
  .strictObject({
    model: z.string().optional(),
    prompt: z.string().optional(),
    messages: arrayOf(messageSchema, 'message').optional(),
    /** Default true for a prompt, false for messages. */
    add_special_tokens: z.boolean().optional(),
    return_token_strs: z.boolean().default(false),
    add_generation_prompt: z.boolean().optional(),
    tools: toolsSchema.optional(),
    chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
  })
  .superRefine((body, context) => {
    const refuse = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message })
    if (body.prompt === undefined && body.messages === undefined)
      context.addIssue({
        code: 'custom',
        path: ['prompt'],
        message: 'is required, or messages',
        params: { code: 'missing_required_parameter' },
      })
    if (body.prompt === undefined) return
    if (body.messages !== undefined) refuse('messages', 'cannot be combined with prompt; give one of them')
    for (const name of ofMessages) if (body[name] !== undefined) refuse(name, 'needs messages in place of prompt')
  })
  .meta({ title: 'TokenizeRequest', ...oneOf('prompt', 'messages') })

export type TokenizeRequest = z.output<typeof tokenizeSchema>

/** Body of POST /detokenize, as vLLM has it. */
export const detokenizeSchema = z
  .strictObject({ model: z.string().optional(), tokens: arrayOf(z.int()) })
  .meta({ title: 'DetokenizeRequest' })

export type DetokenizeRequest = z.output<typeof detokenizeSchema>
