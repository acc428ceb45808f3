import { z } from 'zod'

const count = z.int().min(0)

const block = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: z.string(), citations: z.null() }),
  z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.literal('') }),
  z.strictObject({
    type: z.literal('tool_use'),
    id: z.string(),
    name: z.string(),
    input: z.unknown().describe('the arguments; {} for a call that was cut off'),
  }),
])

const usage = z.strictObject({
  input_tokens: count.describe('without those that were cached'),
  cache_read_input_tokens: count,
  cache_creation_input_tokens: z.literal(0),
  output_tokens: count,
  output_tokens_details: z.strictObject({ thinking_tokens: count }),
})

const stop = {
  stop_reason: z.enum(['end_turn', 'max_tokens', 'stop_sequence', 'tool_use']).nullable(),
  stop_sequence: z.string().nullable(),
}

/** What POST /v1/messages answers. */
export const messageAnswerSchema = z
  .strictObject({
    id: z.string(),
    type: z.literal('message'),
    role: z.literal('assistant'),
    model: z.string(),
    content: z.array(block),
    ...stop,
    usage,
  })
  .meta({ title: 'Message' })

const index = count

/** The events of a streamed message. */
export const messageEventSchema = z
  .discriminatedUnion('type', [
    z.strictObject({ type: z.literal('message_start'), message: messageAnswerSchema }),
    z.strictObject({ type: z.literal('ping') }),
    z.strictObject({ type: z.literal('content_block_start'), index, content_block: block }),
    z.strictObject({
      type: z.literal('content_block_delta'),
      index,
      delta: z.discriminatedUnion('type', [
        z.strictObject({ type: z.literal('text_delta'), text: z.string() }),
        z.strictObject({ type: z.literal('thinking_delta'), thinking: z.string() }),
        z.strictObject({ type: z.literal('input_json_delta'), partial_json: z.string() }),
      ]),
    }),
    z.strictObject({ type: z.literal('content_block_stop'), index }),
    z.strictObject({ type: z.literal('message_delta'), delta: z.strictObject(stop), usage }),
    z.strictObject({ type: z.literal('message_stop') }),
  ])
  .meta({ title: 'MessageEvent' })

export const tokenCountSchema = z.strictObject({ input_tokens: count }).meta({ title: 'TokenCount' })
