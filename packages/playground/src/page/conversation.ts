import type { ChatChunk, TokenEntry, Usage } from './api.ts'

export interface ToolCall {
  id: string
  name: string
  /** JSON, as far as it has come. */
  arguments: string
}

export interface Answer {
  readonly role: 'assistant'
  content: string
  reasoning: string
  toolCalls: ToolCall[]
  /** All tokens with their probabilities, those of reasoning and calls as well; empty if not asked for. */
  tokens: TokenEntry[]
  /** Undefined while it streams. */
  finish?: string | undefined
  error?: string | undefined
  usage?: Usage | undefined
  /** Milliseconds from sending to the first piece, and to the end. */
  firstAt?: number | undefined
  endedAt?: number | undefined
}

export type Message =
  | { readonly role: 'user'; readonly content: string }
  | { readonly role: 'tool'; readonly toolCallId: string; readonly content: string }
  | Answer

export function newAnswer(): Answer {
  return { role: 'assistant', content: '', reasoning: '', toolCalls: [], tokens: [] }
}

/** Adds what a chunk brings. */
export function applyChunk(answer: Answer, { choices, usage }: ChatChunk): void {
  if (usage) answer.usage = usage
  for (const { delta, logprobs, finish_reason } of choices) {
    answer.content += delta.content ?? ''
    answer.reasoning += delta.reasoning_content ?? ''
    if (logprobs?.content) answer.tokens.push(...logprobs.content)
    for (const { index, id, function: part } of delta.tool_calls ?? []) {
      const call = (answer.toolCalls[index] ??= { id: '', name: '', arguments: '' })
      call.id += id ?? ''
      call.name += part?.name ?? ''
      call.arguments += part?.arguments ?? ''
    }
    if (finish_reason !== null) answer.finish = finish_reason
  }
}

/**
 * Messages as the API takes them. Reasoning stays out: models are trained on answers without it. So do answers that
 * failed before they said anything.
 */
export function apiMessages(system: string, messages: readonly Message[]): unknown[] {
  const said = messages.filter(
    (message) => message.role !== 'assistant' || message.content !== '' || message.toolCalls.length > 0,
  )
  return [...(system.trim() === '' ? [] : [{ role: 'system', content: system }]), ...said.map(apiMessage)]
}

function apiMessage(message: Message): unknown {
  if (message.role === 'user') return { role: 'user', content: message.content }
  if (message.role === 'tool') return { role: 'tool', tool_call_id: message.toolCallId, content: message.content }
  const calls = message.toolCalls.map(({ id, name, arguments: args }) => ({
    id,
    type: 'function',
    function: { name, arguments: args },
  }))
  return {
    role: 'assistant',
    content: message.content === '' && calls.length > 0 ? null : message.content,
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

/** Calls of the last answer that still have no result. */
export function openCalls(messages: readonly Message[]): readonly ToolCall[] {
  const last = messages.findLast((message): message is Answer => message.role === 'assistant')
  if (!last?.finish) return []
  const known = new Set(messages.flatMap((message) => (message.role === 'tool' ? [message.toolCallId] : [])))
  return last.toolCalls.filter(({ id }) => !known.has(id))
}

/** The conversation as a file; probabilities stay behind. */
export function exportMessages(messages: readonly Message[]): unknown[] {
  return messages.map((message) => (message.role === 'assistant' ? { ...message, tokens: undefined } : message))
}

/** Reads what `exportMessages` has written, and plain messages of the API too. Throws with the place of a fault. */
export function importMessages(value: unknown): Message[] {
  if (!Array.isArray(value)) throw new Error('"messages" must be a list')
  return value.map((item: unknown, i) => importMessage(item, `messages[${i}]`))
}

function importMessage(item: unknown, where: string): Message {
  const { role, content, reasoning, toolCalls, toolCallId, finish, ...more } = (item ?? {}) as Record<string, unknown>
  const text = (value: unknown, name: string): string => {
    if (typeof value !== 'string') throw new Error(`${where}.${name} must be text`)
    return value
  }
  if (role === 'user') return { role, content: text(content, 'content') }
  if (role === 'tool')
    return {
      role,
      toolCallId: text(toolCallId ?? more['tool_call_id'], 'toolCallId'),
      content: text(content, 'content'),
    }
  if (role !== 'assistant') throw new Error(`${where}.role must be "user", "assistant" or "tool"`)
  const calls = toolCalls ?? more['tool_calls'] ?? []
  if (!Array.isArray(calls)) throw new Error(`${where}.toolCalls must be a list`)
  return {
    ...newAnswer(),
    content: text(content ?? '', 'content'),
    reasoning: text(reasoning ?? '', 'reasoning'),
    toolCalls: calls.map((call: unknown, i) => {
      const { id, name, arguments: args, function: inner } = (call ?? {}) as Record<string, unknown>
      const part = (inner ?? {}) as Record<string, unknown>
      return {
        id: text(id, `toolCalls[${i}].id`),
        name: text(name ?? part['name'], `toolCalls[${i}].name`),
        arguments: text(args ?? part['arguments'], `toolCalls[${i}].arguments`),
      }
    }),
    finish: text(finish ?? 'stop', 'finish'),
  }
}
