import { z } from 'zod'

// What the routes of OpenAI's API answer: the OpenAPI document and the types are made of these.

const count = z.int().min(0)

/** What every answer and every chunk of one request carries. */
const envelope = {
  id: z.string(),
  created: z.int().describe('Unix seconds'),
  model: z.string().describe('as the client named it'),
  system_fingerprint: z.string().describe('changes when the same request and seed may give another answer'),
}

export const usageSchema = z.strictObject({
  prompt_tokens: count,
  completion_tokens: count,
  total_tokens: count,
  prompt_tokens_details: z.strictObject({ cached_tokens: count }),
  completion_tokens_details: z
    .strictObject({ reasoning_tokens: count })
    .exactOptional()
    .describe('of models that reason'),
})

const tokenEntry = {
  token: z.string(),
  logprob: z.number(),
  bytes: z
    .array(z.int().min(0).max(255))
    .nullable()
    .describe('UTF-8 of the token; null for a part of a character, which is no text'),
}

const chatLogprobs = z.strictObject({
  content: z.array(z.strictObject({ ...tokenEntry, top_logprobs: z.array(z.strictObject(tokenEntry)) })),
  refusal: z.null(),
})

const completionLogprobs = z.strictObject({
  tokens: z.array(z.string()),
  token_logprobs: z
    .array(z.number().nullable())
    .describe('null for the first token of a prompt, which nothing comes before'),
  top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
  text_offset: z.array(count).describe('where each token begins in the text given back, in characters (code points)'),
})

const promptLogprobs = z
  .array(
    z
      .record(z.string(), z.strictObject({ logprob: z.number(), rank: z.int().min(1), decoded_token: z.string() }))
      .nullable(),
  )
  .describe("by token id, the prompt's own and the best; only when asked for")

const toolCall = z.strictObject({
  id: z.string(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
})

const toolCallDelta = z.strictObject({
  index: count,
  id: z.string().exactOptional().describe('what identifies a call comes with its first piece'),
  type: z.literal('function').exactOptional(),
  function: z.strictObject({ name: z.string().exactOptional(), arguments: z.string() }),
})

const chatFinishReason = z.enum(['stop', 'length', 'tool_calls'])

export const chatCompletionSchema = z
  .strictObject({
    ...envelope,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.strictObject({
        index: count,
        message: z.strictObject({
          role: z.literal('assistant'),
          content: z.string().nullable().describe('null where there are tool calls and nothing else'),
          refusal: z.null(),
          reasoning_content: z.string().exactOptional(),
          tool_calls: z.array(toolCall).exactOptional(),
        }),
        logprobs: chatLogprobs.nullable(),
        finish_reason: chatFinishReason,
      }),
    ),
    usage: usageSchema,
    prompt_logprobs: promptLogprobs.exactOptional(),
  })
  .meta({ title: 'ChatCompletion' })

const streamedUsage = usageSchema
  .nullable()
  .exactOptional()
  .describe('only when asked for: null in all chunks but the last')

export const chatCompletionChunkSchema = z
  .strictObject({
    ...envelope,
    object: z.literal('chat.completion.chunk'),
    choices: z.array(
      z.strictObject({
        index: count,
        delta: z.strictObject({
          role: z.literal('assistant').exactOptional(),
          content: z.string().exactOptional(),
          refusal: z.null().exactOptional(),
          reasoning_content: z.string().exactOptional(),
          tool_calls: z.array(toolCallDelta).exactOptional(),
        }),
        logprobs: chatLogprobs.nullable(),
        finish_reason: chatFinishReason.nullable(),
      }),
    ),
    usage: streamedUsage,
  })
  .meta({ title: 'ChatCompletionChunk' })

const completionChoice = {
  index: count.describe('place of the prompt times `n`, plus the place among its completions'),
  text: z.string(),
  logprobs: completionLogprobs.nullable(),
}
const finishReason = z.enum(['stop', 'length'])

export const completionAnswerSchema = z
  .strictObject({
    ...envelope,
    object: z.literal('text_completion'),
    choices: z.array(
      z.strictObject({
        ...completionChoice,
        finish_reason: finishReason,
        prompt_logprobs: promptLogprobs.exactOptional(),
      }),
    ),
    usage: usageSchema,
  })
  .meta({ title: 'Completion' })

/** A chunk of a stream has the form of the whole, with pieces of text. */
export const completionChunkSchema = z
  .strictObject({
    ...envelope,
    object: z.literal('text_completion'),
    choices: z.array(z.strictObject({ ...completionChoice, finish_reason: finishReason.nullable() })),
    usage: streamedUsage,
  })
  .meta({ title: 'CompletionChunk' })

export const modelSchema = z
  .strictObject({
    id: z.string(),
    object: z.literal('model'),
    created: z.int().describe('Unix seconds'),
    owned_by: z.string(),
    max_model_len: z.int().describe('longest prompt and answer together, in tokens'),
    parent: z.string().exactOptional().describe('the model that an adapter belongs to'),
  })
  .meta({ title: 'Model' })

export const modelListSchema = z
  .strictObject({ object: z.literal('list'), data: z.array(modelSchema) })
  .meta({ title: 'ModelList' })

export const deletedModelSchema = z
  .strictObject({ id: z.string(), object: z.literal('model'), deleted: z.literal(true) })
  .meta({ title: 'DeletedModel' })

export type ChatLogprobs = z.output<typeof chatLogprobs>
export type CompletionLogprobs = z.output<typeof completionLogprobs>
export type ApiPromptLogprobs = z.output<typeof promptLogprobs>
export type ApiUsage = z.output<typeof usageSchema>
export type ApiToolCall = z.output<typeof toolCall>
export type ApiToolCallDelta = z.output<typeof toolCallDelta>
export type ChatCompletion = z.output<typeof chatCompletionSchema>
export type ChatCompletionChunk = z.output<typeof chatCompletionChunkSchema>
export type Completion = z.output<typeof completionAnswerSchema>
export type CompletionChunk = z.output<typeof completionChunkSchema>
export type Model = z.output<typeof modelSchema>
