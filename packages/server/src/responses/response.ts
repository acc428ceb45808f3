import type { ChatAnswer, Usage } from '@slipway/engine'
import { randomBytes } from 'node:crypto'
import type { AnswerPart } from '../openai/answer-parts.ts'
import type { ResponsesRequest } from './schema.ts'

export type ItemStatus = 'in_progress' | 'completed' | 'incomplete'

interface ReasoningText {
  readonly type: 'reasoning_text'
  readonly text: string
}

interface OutputText {
  readonly type: 'output_text'
  readonly text: string
  readonly annotations: readonly never[]
  readonly logprobs: readonly never[]
}

export type OutputItem = { readonly id: string; readonly status: ItemStatus } & (
  | { readonly type: 'reasoning'; readonly summary: readonly never[]; readonly content: readonly ReasoningText[] }
  | { readonly type: 'message'; readonly role: 'assistant'; readonly content: readonly OutputText[] }
  | { readonly type: 'function_call'; readonly call_id: string; readonly name: string; readonly arguments: string }
)

/** A name for what is made here; `prefix` tells what it is. */
export function newId(prefix: 'resp' | 'rs' | 'msg' | 'fc'): string {
  return `${prefix}_${randomBytes(16).toString('hex')}`
}

export function newItemId({ kind }: AnswerPart): string {
  return newId(kind === 'reasoning' ? 'rs' : kind === 'text' ? 'msg' : 'fc')
}

/** What stands inside an item of text. */
export function contentOf(kind: 'reasoning' | 'text', text: string): ReasoningText | OutputText {
  return kind === 'reasoning' ? { type: 'reasoning_text', text } : outputText(text)
}

function outputText(text: string): OutputText {
  return { type: 'output_text', text, annotations: [], logprobs: [] }
}

/** A part of an answer as an item; one in progress is empty. */
export function toItem(part: AnswerPart, id: string, status: ItemStatus): OutputItem {
  const isEmpty = status === 'in_progress'
  const base = { id, status }
  if (part.kind === 'call')
    return { ...base, type: 'function_call', call_id: part.id, name: part.name, arguments: isEmpty ? '' : part.text }
  if (part.kind === 'text')
    return { ...base, type: 'message', role: 'assistant', content: isEmpty ? [] : [outputText(part.text)] }
  const content: ReasoningText[] = isEmpty ? [] : [{ type: 'reasoning_text', text: part.text }]
  return { ...base, type: 'reasoning', summary: [], content }
}

/** What an answer repeats of its request, at its beginning and its end alike. */
export function newResponse(request: ResponsesRequest) {
  const { text, reasoning } = request
  return {
    id: newId('resp'),
    object: 'response' as const,
    /** Unix seconds. */
    created_at: Math.floor(Date.now() / 1000),
    completed_at: null as number | null,
    status: 'in_progress' as 'in_progress' | 'completed' | 'incomplete' | 'failed',
    background: false,
    error: null as { readonly code: string; readonly message: string } | null,
    incomplete_details: null as { readonly reason: 'max_output_tokens' } | null,
    instructions: request.instructions ?? null,
    max_output_tokens: request.max_output_tokens ?? null,
    metadata: request.metadata ?? {},
    model: request.model,
    output: [] as readonly OutputItem[],
    parallel_tool_calls: request.parallel_tool_calls ?? true,
    previous_response_id: null,
    reasoning: { effort: reasoning?.effort ?? null, summary: null },
    service_tier: 'default' as const,
    store: false,
    temperature: request.temperature ?? null,
    text: { format: text?.format ?? { type: 'text' as const }, verbosity: 'medium' as const },
    tool_choice: request.tool_choice ?? ('auto' as const),
    tools: (request.tools ?? []).map(toEcho),
    top_logprobs: 0,
    top_p: request.top_p ?? null,
    truncation: 'disabled' as const,
    usage: null as ReturnType<typeof usageOf> | null,
    user: request.user ?? null,
  }
}

export type ApiResponse = ReturnType<typeof newResponse>

function toEcho({ type, name, description, parameters, strict }: NonNullable<ResponsesRequest['tools']>[number]) {
  return { type, name, description: description ?? null, parameters: parameters ?? null, strict: strict ?? false }
}

/** The end of an answer. */
export function finished(
  response: ApiResponse,
  output: readonly OutputItem[],
  isWhole: boolean,
  usage: Usage,
  answer: ChatAnswer,
): ApiResponse {
  return {
    ...response,
    status: isWhole ? 'completed' : 'incomplete',
    completed_at: isWhole ? Math.floor(Date.now() / 1000) : null,
    incomplete_details: isWhole ? null : { reason: 'max_output_tokens' },
    output,
    usage: usageOf(usage, answer),
  }
}

function usageOf({ promptTokens, completionTokens, cachedTokens }: Usage, { reasoningTokens }: ChatAnswer) {
  return {
    input_tokens: promptTokens,
    input_tokens_details: { cached_tokens: cachedTokens, cache_write_tokens: 0 },
    output_tokens: completionTokens,
    output_tokens_details: { reasoning_tokens: reasoningTokens ?? 0 },
    total_tokens: promptTokens + completionTokens,
  }
}
