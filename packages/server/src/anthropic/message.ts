import type { ChatAnswer, Usage } from '@slipway/engine'
import { randomBytes } from 'node:crypto'
import type { AnswerEnd, AnswerPart } from '../openai/answer-parts.ts'
import { apiFinishReason } from '../openai/generations.ts'

type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use'

export type ContentBlock =
  | { readonly type: 'text'; readonly text: string; readonly citations: null }
  | { readonly type: 'thinking'; readonly thinking: string; readonly signature: string }
  | { readonly type: 'tool_use'; readonly id: string; readonly name: string; readonly input: unknown }

/** A message as it begins: without content. */
export function newMessage(model: string) {
  return {
    id: `msg_${randomBytes(16).toString('hex')}`,
    type: 'message' as const,
    role: 'assistant' as const,
    model,
    content: [] as readonly ContentBlock[],
    stop_reason: null as StopReason | null,
    stop_sequence: null as string | null,
  }
}

/** A part of an answer as a block; one that begins is empty. */
export function toBlock(part: AnswerPart, isEmpty = false): ContentBlock {
  const text = isEmpty ? '' : part.text
  if (part.kind === 'call')
    return { type: 'tool_use', id: part.id, name: part.name, input: isEmpty ? {} : parsed(text) }
  if (part.kind === 'text') return { type: 'text', text, citations: null }
  // what others sign is in clear here
  return { type: 'thinking', thinking: text, signature: '' }
}

/** The arguments of a call; of one that was cut off there are none. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

/** Why a message ended. */
export function stopOf(
  { finishReason, stopReason }: AnswerEnd,
  { hasToolCalls }: ChatAnswer,
): { readonly stop_reason: StopReason; readonly stop_sequence: string | null } {
  if (apiFinishReason(finishReason) === 'length') return { stop_reason: 'max_tokens', stop_sequence: null }
  if (typeof stopReason === 'string') return { stop_reason: 'stop_sequence', stop_sequence: stopReason }
  return { stop_reason: hasToolCalls ? 'tool_use' : 'end_turn', stop_sequence: null }
}

/** Tokens found in the cache are not among the input tokens, as at Anthropic. */
export function usageOf({ promptTokens, completionTokens, cachedTokens }: Usage, answer: ChatAnswer) {
  return {
    input_tokens: promptTokens - cachedTokens,
    cache_read_input_tokens: cachedTokens,
    cache_creation_input_tokens: 0,
    output_tokens: completionTokens,
    output_tokens_details: { thinking_tokens: answer.reasoningTokens ?? 0 },
  }
}
