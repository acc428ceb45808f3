import type { PoolingParams } from '@slipway/engine'
import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import { schedulingFields } from '../openai/fields.ts'
import { messageSchema } from '../openai/messages.ts'
import { promptsSchema } from '../openai/prompts.ts'
import { oneOf } from '../openapi/input-forms.ts'
import { labels } from '../openai/unsupported.ts'

/** What all of these routes take, beside what they are about; names are vLLM's where it has them. */
const commonFields = {
  model: z.string(),
  truncate_prompt_tokens: z.int().optional(),
  truncation_side: z.enum(['left', 'right']).optional(),
  ...schedulingFields,
  ...labels,
}

/** Of embeddings. */
const vectorFields = { dimensions: z.int().min(1).optional(), normalize: z.boolean().optional() }

/** Of classes and scores: false gives the numbers as the head made them. `activation` is vLLM's older name. */
const classFields = {
  use_activation: z.boolean().optional(),
  activation: z.union([z.boolean(), z.enum(['none', 'softmax', 'sigmoid'])]).optional(),
}

const encodings = { encoding_format: z.enum(['float', 'base64']).default('float') }

/** Texts, token ids or, through the chat template, one conversation. */
const inputFields = {
  input: promptsSchema.optional(),
  messages: arrayOf(messageSchema, 'message').optional(),
  add_generation_prompt: z.boolean().optional(),
  chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
  add_special_tokens: z.boolean().optional(),
}

function checkInput(
  body: { readonly [name in 'input' | 'messages' | 'add_generation_prompt' | 'chat_template_kwargs']?: unknown },
  context: z.RefinementCtx,
): void {
  const refuse = (name: string, message: string, code = 'invalid_value'): void =>
    context.addIssue({ code: 'custom', path: [name], message, params: { code } })
  if (body.input === undefined && body.messages === undefined)
    refuse('input', 'is required', 'missing_required_parameter')
  if (body.input !== undefined && body.messages !== undefined) refuse('messages', 'give input or messages, not both')
  for (const name of ['add_generation_prompt', 'chat_template_kwargs'] as const)
    if (body[name] !== undefined && body.messages === undefined) refuse(name, 'needs messages')
}

/** Body of POST /v1/embeddings. */
export const embeddingsSchema = z
  .strictObject({ ...commonFields, ...inputFields, ...vectorFields, ...encodings })
  .superRefine(checkInput)
  .meta({ title: 'EmbeddingsRequest', ...oneOf('input', 'messages') })

/** Body of POST /v1/classify. */
export const classifySchema = z
  .strictObject({ ...commonFields, ...inputFields, ...classFields })
  .superRefine(checkInput)
  .meta({ title: 'ClassifyRequest', ...oneOf('input', 'messages') })

/** Body of POST /pooling; without a task it is the model's own. */
export const poolingSchema = z
  .strictObject({
    ...commonFields,
    ...inputFields,
    ...vectorFields,
    ...classFields,
    ...encodings,
    task: z.enum(['embed', 'token_embed', 'classify', 'token_classify']).optional(),
  })
  .superRefine(checkInput)
  .meta({ title: 'PoolingRequest', ...oneOf('input', 'messages') })

/** One text or several. */
const texts = z.union([z.string().transform((text) => [text]), arrayOf(z.string())], {
  error: 'must be a text or an array of texts',
})

/** Body of POST /v1/score: a query for all documents, or one for each. */
export const scoreSchema = z
  .strictObject({
    ...commonFields,
    ...classFields,
    text_1: texts.optional(),
    text_2: texts.optional(),
    queries: texts.optional(),
    documents: texts.optional(),
  })
  .transform((body, context) => {
    const { text_1, text_2, queries = text_1, documents = text_2 } = body
    const isTwice = (body.queries && text_1) ?? (body.documents && text_2)
    if (isTwice || !queries || !documents) {
      const message = isTwice ? 'give it under one name: queries and documents, or text_1 and text_2' : 'is required'
      const code = isTwice ? 'invalid_value' : 'missing_required_parameter'
      context.addIssue({ code: 'custom', path: [queries ? 'documents' : 'queries'], message, params: { code } })
      return z.NEVER
    }
    return { ...body, queries, documents }
  })
  .meta({ title: 'ScoreRequest', allOf: [oneOf('queries', 'text_1'), oneOf('documents', 'text_2')] })

const document = z.union([z.string(), z.strictObject({ text: z.string() }).transform(({ text }) => text)], {
  error: 'must be a text or {"text": "…"}',
})

/** Body of POST /v1/rerank as Jina and Cohere have it. */
export const rerankSchema = z
  .strictObject({
    ...commonFields,
    ...classFields,
    query: z.string(),
    documents: arrayOf(document, 'document'),
    top_n: z.int().min(0).optional(),
    return_documents: z.boolean().default(true),
  })
  .meta({ title: 'RerankRequest' })

type Given = Partial<Record<keyof typeof commonFields | 'add_special_tokens', unknown>> &
  z.output<z.ZodObject<typeof vectorFields>> &
  z.output<z.ZodObject<typeof classFields>>

/** The parameters of a body in the engine's terms. */
export function poolingParams(body: Given): PoolingParams {
  const { use_activation, activation = use_activation, dimensions, normalize } = body
  return {
    dimensions,
    normalize,
    activation: typeof activation === 'string' ? activation : activation === false ? 'none' : undefined,
    // the schemas have checked the types
    truncatePromptTokens: body.truncate_prompt_tokens as number | undefined,
    truncationSide: body.truncation_side as 'left' | 'right' | undefined,
    addSpecialTokens: body.add_special_tokens as boolean | undefined,
  }
}
