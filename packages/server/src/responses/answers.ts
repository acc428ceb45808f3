import { z } from 'zod'

const count = z.int().min(0)
const status = z.enum(['in_progress', 'completed', 'incomplete'])

const reasoningText = z.strictObject({ type: z.literal('reasoning_text'), text: z.string() })
const outputText = z.strictObject({
  type: z.literal('output_text'),
  text: z.string(),
  annotations: z.array(z.unknown()).max(0),
  logprobs: z.array(z.unknown()).max(0),
})

const item = z
  .discriminatedUnion('type', [
    z.strictObject({
      id: z.string(),
      status,
      type: z.literal('reasoning'),
      summary: z.array(z.unknown()).max(0),
      content: z.array(reasoningText),
    }),
    z.strictObject({
      id: z.string(),
      status,
      type: z.literal('message'),
      role: z.literal('assistant'),
      content: z.array(outputText),
    }),
    z.strictObject({
      id: z.string(),
      status,
      type: z.literal('function_call'),
      call_id: z.string(),
      name: z.string(),
      arguments: z.string(),
    }),
  ])
  .meta({ title: 'OutputItem' })

const usage = z.strictObject({
  input_tokens: count,
  input_tokens_details: z.strictObject({ cached_tokens: count, cache_write_tokens: z.literal(0) }),
  output_tokens: count,
  output_tokens_details: z.strictObject({ reasoning_tokens: count }),
  total_tokens: count,
})

/** What POST /v1/responses answers; much of it repeats the request. */
export const responseSchema = z
  .strictObject({
    id: z.string(),
    object: z.literal('response'),
    created_at: z.int().describe('Unix seconds'),
    completed_at: z.int().nullable(),
    status: z.enum(['in_progress', 'completed', 'incomplete', 'failed']),
    background: z.literal(false),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    incomplete_details: z.strictObject({ reason: z.literal('max_output_tokens') }).nullable(),
    instructions: z.string().nullable(),
    max_output_tokens: z.int().nullable(),
    metadata: z.record(z.string(), z.string()),
    model: z.string(),
    output: z.array(item),
    parallel_tool_calls: z.boolean(),
    previous_response_id: z.null(),
    reasoning: z.strictObject({ effort: z.string().nullable(), summary: z.null() }),
    service_tier: z.literal('default'),
    store: z.literal(false),
    temperature: z.number().nullable(),
    text: z.strictObject({ format: z.looseObject({ type: z.string() }), verbosity: z.literal('medium') }),
    tool_choice: z.union([z.string(), z.looseObject({ type: z.string() })]),
    tools: z.array(z.looseObject({ type: z.literal('function'), name: z.string() })),
    top_logprobs: z.literal(0),
    top_p: z.number().nullable(),
    truncation: z.literal('disabled'),
    usage: usage.nullable(),
    user: z.string().nullable(),
  })
  .meta({ title: 'Response' })

const number = { sequence_number: count }
const place = { ...number, item_id: z.string(), output_index: count }
const inPart = { ...place, content_index: z.literal(0) }
const noLogprobs = { logprobs: z.array(z.unknown()).max(0) }
const part = z.discriminatedUnion('type', [reasoningText, outputText])

/** The events of a streamed response. */
export const responseEventSchema = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.enum([
        'response.created',
        'response.in_progress',
        'response.completed',
        'response.incomplete',
        'response.failed',
      ]),
      ...number,
      response: responseSchema,
    }),
    z.strictObject({
      type: z.enum(['response.output_item.added', 'response.output_item.done']),
      ...number,
      output_index: count,
      item,
    }),
    z.strictObject({ type: z.enum(['response.content_part.added', 'response.content_part.done']), ...inPart, part }),
    z.strictObject({ type: z.literal('response.output_text.delta'), ...inPart, delta: z.string(), ...noLogprobs }),
    z.strictObject({ type: z.literal('response.output_text.done'), ...inPart, text: z.string(), ...noLogprobs }),
    z.strictObject({ type: z.literal('response.reasoning_text.delta'), ...inPart, delta: z.string() }),
    z.strictObject({ type: z.literal('response.reasoning_text.done'), ...inPart, text: z.string() }),
    z.strictObject({ type: z.literal('response.function_call_arguments.delta'), ...place, delta: z.string() }),
    z.strictObject({
      type: z.literal('response.function_call_arguments.done'),
      ...place,
      name: z.string(),
      arguments: z.string(),
    }),
  ])
  .meta({ title: 'ResponseEvent' })
