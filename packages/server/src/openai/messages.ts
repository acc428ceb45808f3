import type { ChatMessage } from '@slipway/checkpoint'
import { z } from 'zod'
import { arrayOf } from './array-of.ts'

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() })

const part = z.discriminatedUnion('type', [textPart], {
  error: 'must be {"type": "text", "text": "…"}; this model reads text only',
})

const content = z.union([z.string(), arrayOf(part, 'part')], {
  error: 'must be a string or an array of {"type": "text"} parts',
})

const toolCall = z.strictObject({
  id: z.string(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
})

// an assistant's message comes back as we sent it, with fields that are null or empty
const assistant = z
  .strictObject({
    role: z.literal('assistant'),
    content: content.nullish(),
    name: z.string().optional(),
    refusal: z.string().nullish(),
    reasoning_content: z.string().nullish(),
    tool_calls: arrayOf(toolCall).nullish(),
    annotations: z.array(z.unknown()).max(0, 'annotations are not supported; remove them').nullish(),
    audio: z.null('audio is not supported; remove it').optional(),
    function_call: z.null('use "tool_calls"').optional(),
  })
  .refine(({ content, refusal, tool_calls }) => content != null || refusal != null || (tool_calls?.length ?? 0) > 0, {
    path: ['content'],
    error: 'is required where there are no tool_calls',
  })

export const messageSchema = z
  .discriminatedUnion(
    'role',
    [
      z.strictObject({ role: z.literal('system'), content, name: z.string().optional() }),
      z.strictObject({ role: z.literal('developer'), content, name: z.string().optional() }),
      z.strictObject({ role: z.literal('user'), content, name: z.string().optional() }),
      assistant,
      z.strictObject({ role: z.literal('tool'), content, tool_call_id: z.string(), name: z.string().optional() }),
    ],
    {
      error: ({ code }) =>
        code === 'invalid_union' ? 'must be system, developer, user, assistant or tool' : 'must be a message object',
    },
  )
  .meta({ title: 'ChatMessage' })

export type ApiMessage = z.output<typeof messageSchema>

/**
 * A message as chat templates know it: text parts joined by line ends as vLLM does, `developer` under its older name
 * `system`, and the arguments of past tool calls as objects.
 */
export function toTemplateMessage(message: ApiMessage): ChatMessage {
  const role = message.role === 'developer' ? 'system' : message.role
  const { content, ...rest } = message
  const given = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== undefined))
  const text = Array.isArray(content) ? content.map((part) => part.text).join('\n') : (content ?? '')
  if (message.role !== 'assistant') return { ...given, role, content: text }
  const { tool_calls: calls, refusal } = message
  return {
    ...given,
    role,
    content: text === '' ? (refusal ?? '') : text,
    ...(calls && {
      tool_calls: calls.map((call) => ({ ...call, function: { ...call.function, arguments: parsed(call) } })),
    }),
  }
}

function parsed({ function: { arguments: text } }: z.output<typeof toolCall>): unknown {
  if (text.trim() === '') return {}
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : text
  } catch {
    // a model may have written broken JSON; the template shows it as it was
    return text
  }
}
