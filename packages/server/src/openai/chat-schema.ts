import { z } from 'zod'
import { arrayOf } from './array-of.ts'
import { checkGeneration, generationFields } from './fields.ts'
import { messageSchema } from './messages.ts'
import { checkThinking, thinkingFields } from './thinking-fields.ts'
import { toolChoiceSchema, toolsSchema } from './tools.ts'
import { unsupportedInChat } from './unsupported.ts'

/** Body of POST /v1/chat/completions: every parameter of OpenAI's is here, and so are those of vLLM that we have. */
export const chatSchema = z
  .strictObject({
    model: z.string(),
    messages: arrayOf(messageSchema, 'message'),
    max_tokens: z.int().min(1).optional(),
    max_completion_tokens: z.int().min(1).optional(),
    logprobs: z.boolean().default(false),
    top_logprobs: z.int().min(0).max(20).optional(),
    add_generation_prompt: z.boolean().default(true),
    chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
    tools: toolsSchema.optional(),
    tool_choice: toolChoiceSchema.optional(),
    parallel_tool_calls: z.boolean().optional(),
    ...thinkingFields,
    ...generationFields,
    ...unsupportedInChat,
  })
  .superRefine((body, context) => {
    checkGeneration(body, context)
    checkThinking(body, context)
    const { logprobs, top_logprobs, max_tokens, max_completion_tokens } = body
    if (top_logprobs !== undefined && !logprobs)
      context.addIssue({ code: 'custom', path: ['top_logprobs'], message: 'needs "logprobs": true' })
    if (max_tokens !== undefined && max_completion_tokens !== undefined && max_tokens !== max_completion_tokens)
      context.addIssue({
        code: 'custom',
        path: ['max_tokens'],
        message: 'differs from max_completion_tokens; give one',
      })
  })
  .meta({ title: 'ChatCompletionRequest' })

export type ChatRequest = z.output<typeof chatSchema>
