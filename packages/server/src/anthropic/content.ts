import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import type { ApiMessage } from '../openai/messages.ts'

/** Prefixes are cached without being asked: it marks what is found again anyway. */
export const cacheControl = z.looseObject({ type: z.literal('ephemeral') }).nullish()

const text = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  cache_control: cacheControl,
  citations: z.array(z.unknown()).max(0, 'citations are not supported; remove them').nullish(),
})

const textOnly = { error: 'must be {"type": "text", "text": "…"}; this model reads text only' }

/** A text, or blocks of it. */
export const textContent = z.union([z.string(), arrayOf(z.discriminatedUnion('type', [text], textOnly))], {
  error: 'must be a string or an array of text blocks',
})

const toolResult = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: textContent.nullish(),
  is_error: z.boolean().nullish(),
  cache_control: cacheControl,
})

const toolUse = z.strictObject({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: z.record(z.string(), z.unknown()),
  cache_control: cacheControl,
  caller: z.looseObject({ type: z.literal('direct') }).nullish(),
})

const thinking = z.strictObject({ type: z.literal('thinking'), thinking: z.string(), signature: z.string().nullish() })

const userBlock = z.discriminatedUnion('type', [text, toolResult], {
  error: 'must be a block of type text or tool_result; this model reads text only',
})
const assistantBlock = z.discriminatedUnion('type', [text, toolUse, thinking], {
  error: 'must be a block of type text, thinking or tool_use',
})

const blocksOr = <T>(block: z.ZodType<T>) =>
  z.union([z.string(), arrayOf(block, 'block')], {
    error: 'must be a string or an array of blocks',
  })

export const messageParam = z.discriminatedUnion(
  'role',
  [
    z.strictObject({ role: z.literal('user'), content: blocksOr(userBlock) }),
    z.strictObject({ role: z.literal('assistant'), content: blocksOr(assistantBlock) }),
    z.strictObject({ role: z.literal('system'), content: textContent }),
  ],
  {
    error: ({ code }) =>
      code === 'invalid_union' ? 'must be user or assistant; a system prompt is "system"' : 'must be a message object',
  },
)

type MessageParam = z.output<typeof messageParam>

export function textOf(content: z.output<typeof textContent>): string {
  return typeof content === 'string' ? content : content.map((block) => block.text).join('\n')
}

/** A message as those of a chat: each result of a tool is one of its own. */
export function toChatMessages(message: MessageParam): ApiMessage[] {
  if (typeof message.content === 'string') return [{ role: message.role, content: message.content }]
  if (message.role === 'system') return [{ role: 'system', content: textOf(message.content) }]
  return message.role === 'user' ? fromUser(message.content) : [fromAssistant(message.content)]
}

function fromUser(blocks: readonly z.output<typeof userBlock>[]): ApiMessage[] {
  const messages: ApiMessage[] = []
  let texts: string[] = []
  const close = (): void => {
    if (texts.length > 0) messages.push({ role: 'user', content: texts.join('\n') })
    texts = []
  }
  for (const block of blocks) {
    if (block.type === 'text') {
      texts.push(block.text)
      continue
    }
    close()
    const said = textOf(block.content ?? '')
    // templates have no other place for it
    const content = block.is_error ? `Error: ${said}` : said
    messages.push({ role: 'tool', tool_call_id: block.tool_use_id, content })
  }
  close()
  return messages
}

function fromAssistant(blocks: readonly z.output<typeof assistantBlock>[]): ApiMessage {
  const texts = blocks.flatMap((block) => (block.type === 'text' ? [block.text] : []))
  const thoughts = blocks.flatMap((block) => (block.type === 'thinking' ? [block.thinking] : []))
  const calls = blocks.flatMap((block) => (block.type === 'tool_use' ? [block] : []))
  return {
    role: 'assistant',
    content: texts.join('\n'),
    ...(thoughts.length > 0 && { reasoning_content: thoughts.join('\n') }),
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, input }) => ({
        id,
        type: 'function' as const,
        function: { name, arguments: JSON.stringify(input) },
      })),
    }),
  }
}
