import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import type { ApiMessage } from '../openai/messages.ts'
import { reading } from '../openapi/input-forms.ts'

const id = z.string().nullish()
const status = z.enum(['in_progress', 'completed', 'incomplete']).nullish()

const part = z.discriminatedUnion(
  'type',
  [
    z.strictObject({ type: z.literal('input_text'), text: z.string() }),
    // as we sent it
    z.strictObject({
      type: z.literal('output_text'),
      text: z.string(),
      annotations: z.array(z.unknown()).max(0, 'annotations are not supported; remove them').nullish(),
      logprobs: z.unknown().optional(),
      parsed: z.unknown().optional(),
    }),
    z.strictObject({ type: z.literal('refusal'), refusal: z.string() }),
  ],
  { error: 'must be {"type": "input_text", "text": "…"} or an output_text; this model reads text only' },
)

const content = z.union([z.string(), arrayOf(part)], { error: 'must be a string or an array of text parts' })

const message = z.strictObject({
  type: z.literal('message'),
  role: z.enum(['user', 'assistant', 'system', 'developer'], {
    error: 'must be user, assistant, system or developer',
  }),
  content,
  id,
  status,
  phase: z.string().nullish(),
})

const functionCall = z.strictObject({
  type: z.literal('function_call'),
  call_id: z.string(),
  name: z.string(),
  arguments: z.string(),
  id,
  status,
  parsed_arguments: z.unknown().optional(),
})

const functionCallOutput = z.strictObject({
  type: z.literal('function_call_output'),
  call_id: z.string(),
  output: content,
  id,
  status,
})

const reasoningText = z.looseObject({ text: z.string() })

const reasoning = z.strictObject({
  type: z.literal('reasoning'),
  summary: arrayOf(reasoningText).nullish(),
  content: arrayOf(reasoningText).nullish(),
  encrypted_content: z.null('reasoning is never encrypted here; send its content').optional(),
  id,
  status,
})

const item = z.discriminatedUnion('type', [message, functionCall, functionCallOutput, reasoning], {
  error: ({ code }) =>
    code === 'invalid_union'
      ? 'must be message, function_call, function_call_output or reasoning; nothing else can be had here'
      : 'must be an item object',
})

const anyItem: z.ZodType<z.output<typeof item>> = reading(
  z.preprocess((value) => (isUntyped(value) ? { type: 'message', ...value } : value), item),
  z.union([item, message.omit({ type: true })]),
)

/** `input`: a text, or items. A message may leave its type out. */
export const inputSchema = z.union([z.string(), arrayOf(anyItem, 'item')], {
  error: 'must be a text or an array of items',
})

function isUntyped(value: unknown): value is object {
  return typeof value === 'object' && value !== null && 'role' in value && !('type' in value)
}

type Item = z.output<typeof item>

/** Items as the messages of a chat: what an assistant thought, said and called in one turn is one message. */
export function toMessages(input: z.output<typeof inputSchema>, instructions: string | undefined): ApiMessage[] {
  const messages: ApiMessage[] = instructions === undefined ? [] : [{ role: 'system', content: instructions }]
  if (typeof input === 'string') return [...messages, { role: 'user', content: input }]
  let turn: Turn | undefined
  const close = (): void => {
    // thoughts that nothing came of are no message
    if (turn && (turn.content !== undefined || turn.tool_calls)) messages.push(turn)
    turn = undefined
  }
  for (const one of input) {
    if (one.type === 'message' && one.role !== 'assistant') {
      close()
      messages.push({ role: one.role, content: textOf(one.content) })
    } else if (one.type === 'function_call_output') {
      close()
      messages.push({ role: 'tool', tool_call_id: one.call_id, content: textOf(one.output) })
    } else {
      // a thought after an answer begins another one
      if (one.type === 'reasoning' && turn?.content !== undefined) close()
      turn = grown(turn ?? { role: 'assistant' }, one)
    }
  }
  close()
  return messages
}

type Turn = Extract<ApiMessage, { role: 'assistant' }> & { readonly content?: string | undefined }

function grown(turn: Turn, one: Exclude<Item, { type: 'function_call_output' }>): Turn {
  if (one.type === 'message') return { ...turn, content: joined(turn.content, textOf(one.content)) }
  if (one.type === 'function_call') {
    const call = { id: one.call_id, type: 'function' as const, function: { name: one.name, arguments: one.arguments } }
    return { ...turn, tool_calls: [...(turn.tool_calls ?? []), call] }
  }
  const texts = one.content?.length ? one.content : (one.summary ?? [])
  if (texts.length === 0) return turn
  return { ...turn, reasoning_content: joined(turn.reasoning_content, texts.map(({ text }) => text).join('\n')) }
}

function joined(before: string | null | undefined, text: string): string {
  return before == null ? text : `${before}\n${text}`
}

function textOf(content: string | z.output<typeof part>[]): string {
  if (typeof content === 'string') return content
  return content.map((part) => (part.type === 'refusal' ? part.refusal : part.text)).join('\n')
}
