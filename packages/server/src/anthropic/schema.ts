import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import type { ChatRequest } from '../openai/chat-schema.ts'
import type { ParameterNames } from '../openai/renamed.ts'
import { toolName } from '../openai/tools.ts'
import { unlessInert } from '../openai/unsupported.ts'
import { cacheControl, messageParam, textContent, textOf, toChatMessages } from './content.ts'

const tool = z.strictObject({
  type: z.literal('custom', 'no tools run here; give its name, description and input_schema').nullish(),
  name: toolName,
  description: z.string().nullish(),
  input_schema: z.record(z.string(), z.unknown()),
  strict: z.boolean().nullish(),
  cache_control: cacheControl,
  // what is streamed comes at once, checked or not
  eager_input_streaming: z.boolean().nullish(),
})

const isAlone = { disable_parallel_tool_use: z.boolean().optional() }

/** What says how the prompt looks. */
const promptFields = {
  model: z.string(),
  messages: arrayOf(messageParam, 'message'),
  system: textContent.optional(),
  tools: arrayOf(tool)
    .refine((tools) => new Set(tools.map(({ name }) => name)).size === tools.length, 'two tools have the same name')
    .optional(),
  tool_choice: z
    .discriminatedUnion(
      'type',
      [
        z.strictObject({ type: z.literal('auto'), ...isAlone }),
        z.strictObject({ type: z.literal('any'), ...isAlone }),
        z.strictObject({ type: z.literal('tool'), name: z.string(), ...isAlone }),
        z.strictObject({ type: z.literal('none') }),
      ],
      { error: 'must be {"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "…"} or {"type": "none"}' },
    )
    .optional(),
  thinking: z
    .discriminatedUnion(
      'type',
      [
        z.strictObject({ type: z.literal('enabled'), budget_tokens: z.int().min(1), display: shown() }),
        z.strictObject({ type: z.literal('adaptive'), display: shown() }),
        z.strictObject({ type: z.literal('disabled') }),
      ],
      { error: 'must be {"type": "enabled", "budget_tokens": …}, {"type": "adaptive"} or {"type": "disabled"}' },
    )
    .optional(),
  output_config: z
    .strictObject({
      effort: z.enum(['low', 'medium', 'high', 'xhigh', 'max']).nullish(),
      format: z.strictObject({ type: z.literal('json_schema'), schema: z.record(z.string(), z.unknown()) }).nullish(),
    })
    .optional(),
  cache_control: cacheControl,
}

function shown() {
  return z.literal('summarized', 'thinking is given in full; remove it').nullish()
}

/** Body of POST /v1/messages/count_tokens. */
export const countTokensSchema = z.strictObject(promptFields).meta({ title: 'CountTokensRequest' })

/** Body of POST /v1/messages: Anthropic's parameters that concern text. */
export const messagesSchema = z
  .strictObject({
    ...promptFields,
    max_tokens: z.int().min(1),
    stop_sequences: arrayOf(z.string()).optional(),
    temperature: z.number().min(0).max(2).optional(),
    top_k: z.int().optional(),
    top_p: z.number().optional(),
    stream: z.boolean().default(false),
    metadata: z.strictObject({ user_id: z.string().nullish() }).optional(),
    service_tier: unlessInert('all requests are served alike; remove it', 'auto', 'standard_only'),
  })
  .meta({ title: 'MessagesRequest' })

export type MessagesRequest = z.output<typeof messagesSchema>
export type CountTokensRequest = z.output<typeof countTokensSchema>

/** What a chat calls otherwise. */
export const names: ParameterNames = new Map([
  ['stop', 'stop_sequences'],
  ['response_format', 'output_config.format'],
  ['reasoning_effort', 'output_config.effort'],
  ['enable_thinking', 'thinking'],
  ['thinking_token_budget', 'thinking.budget_tokens'],
  ['parallel_tool_calls', 'tool_choice.disable_parallel_tool_use'],
])

/** What is asked of the prompt, in the words of a chat. */
export function toChatPrompt(request: CountTokensRequest): ChatRequest {
  const { model, messages, system, tools, tool_choice: choice, thinking, output_config: output } = request
  const schema = output?.format?.schema
  const isAlone = choice && 'disable_parallel_tool_use' in choice && choice.disable_parallel_tool_use === true
  return {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: 'system' as const, content: textOf(system) }]),
      ...messages.flatMap(toChatMessages),
    ],
    tools: tools?.map(({ name, description, input_schema: parameters, strict }) => ({
      type: 'function',
      function: { name, description, parameters, strict },
    })),
    tool_choice: toChatChoice(choice),
    parallel_tool_calls: isAlone ? false : undefined,
    // a client that does not ask for thoughts does not expect any
    enable_thinking: thinking !== undefined && thinking.type !== 'disabled',
    thinking_token_budget: thinking?.type === 'enabled' ? thinking.budget_tokens : undefined,
    reasoning_effort: output?.effort === 'max' ? 'xhigh' : (output?.effort ?? undefined),
    response_format: schema && { type: 'json_schema', json_schema: { name: 'output', schema } },
    stream: false,
    logprobs: false,
    add_generation_prompt: true,
  }
}

/** The same request in the words of a chat. */
export function toChatRequest(request: MessagesRequest): ChatRequest {
  const { max_tokens, stop_sequences, temperature, top_k, top_p, stream, metadata } = request
  return {
    ...toChatPrompt(request),
    max_tokens,
    stop: stop_sequences,
    temperature,
    top_k,
    top_p,
    stream,
    user: metadata?.user_id ?? undefined,
  }
}

function toChatChoice(choice: CountTokensRequest['tool_choice']): ChatRequest['tool_choice'] {
  if (choice?.type === 'any') return 'required'
  if (choice?.type === 'tool') return { type: 'function', function: { name: choice.name } }
  return choice?.type
}
