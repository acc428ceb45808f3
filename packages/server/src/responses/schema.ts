import { efforts } from '@slipway/engine'
import { z } from 'zod'
import { arrayOf } from '../openai/array-of.ts'
import type { ChatRequest } from '../openai/chat-schema.ts'
import { samplingFields, schedulingFields } from '../openai/fields.ts'
import type { ParameterNames } from '../openai/renamed.ts'
import { toolName } from '../openai/tools.ts'
import { labels, unlessInert } from '../openai/unsupported.ts'
import { inputSchema, toMessages } from './items.ts'

const functionTool = z.strictObject({
  type: z.literal('function', 'must be "function"; no other tools are supported'),
  name: toolName,
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish(),
  strict: z.boolean().nullish(),
})

const namedTool = z.strictObject({ type: z.literal('function'), name: z.string() })

const toolChoice = z.union(
  [
    z.enum(['auto', 'none', 'required']),
    namedTool,
    z.strictObject({ type: z.literal('allowed_tools'), mode: z.enum(['auto', 'required']), tools: arrayOf(namedTool) }),
  ],
  { error: 'must be "auto", "none", "required", or {"type": "function", "name": "…"}' },
)

const format = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text') }),
  z.strictObject({ type: z.literal('json_object') }),
  z.strictObject({
    type: z.literal('json_schema'),
    name: z.string(),
    description: z.string().nullish(),
    schema: z.record(z.string(), z.unknown()),
    strict: z.boolean().nullish(),
  }),
])

const notStored = 'answers are not stored here; send the whole conversation as input'
const { n: _n, prompt_logprobs: _prompt, stop: _stop, ...sampling } = samplingFields

/** Body of POST /v1/responses: OpenAI's parameters, and vLLM's for sampling. */
export const responsesSchema = z
  .strictObject({
    model: z.string(),
    input: inputSchema,
    instructions: z.string().optional(),
    max_output_tokens: z.int().min(1).optional(),
    tools: arrayOf(functionTool)
      .refine((tools) => new Set(tools.map(({ name }) => name)).size === tools.length, 'two tools have the same name')
      .optional(),
    tool_choice: toolChoice.optional(),
    parallel_tool_calls: z.boolean().optional(),
    reasoning: z
      .strictObject({
        effort: z.enum(efforts).nullish(),
        summary: z.literal('auto', 'reasoning is given in full; use "auto", or remove it').nullish(),
        generate_summary: z.literal('auto', 'reasoning is given in full; use "auto", or remove it').nullish(),
      })
      .optional(),
    text: z
      .strictObject({
        format: format.nullish(),
        verbosity: z.literal('medium', 'ask for a short or long answer in the input; remove it').nullish(),
      })
      .optional(),
    stream: z.boolean().default(false),
    stream_options: z
      .strictObject({ include_obfuscation: z.literal(false, 'only false is supported; remove it').optional() })
      .optional(),
    // reasoning is in the answer, so that there is nothing to encrypt
    include: arrayOf(
      z.literal('reasoning.encrypted_content', 'nothing can be included that is not there anyway; remove it'),
    ).optional(),
    ...sampling,
    ...schedulingFields,
    ...labels,
    background: unlessInert('an answer comes to who waits for it; remove it', false),
    conversation: unlessInert(notStored),
    max_tool_calls: unlessInert('there are no tools that run here; remove it'),
    moderation: unlessInert('there is no moderation here; remove it'),
    previous_response_id: unlessInert(notStored),
    prompt: unlessInert('there are no stored prompts; send it as input'),
    service_tier: unlessInert('all requests are served alike; use "auto", or remove it', 'auto', 'default'),
    store: unlessInert('answers are not stored; use false, or remove it', false),
    top_logprobs: unlessInert('log-probabilities are given by /v1/chat/completions; remove it', 0),
    truncation: unlessInert('nothing is cut off silently; use "disabled", or remove it', 'disabled'),
  })
  .meta({ title: 'ResponsesRequest' })

export type ResponsesRequest = z.output<typeof responsesSchema>

/** What a chat calls otherwise. */
export const names: ParameterNames = new Map([
  ['messages', 'input'],
  ['max_tokens', 'max_output_tokens'],
  ['response_format', 'text.format'],
  ['reasoning_effort', 'reasoning.effort'],
])

/** The same request in the words of a chat. */
export function toChatRequest(request: ResponsesRequest): ChatRequest {
  const { model, input, instructions, max_output_tokens, tools, tool_choice, reasoning, text, ...rest } = request
  const { parallel_tool_calls, stream, user, safety_identifier, priority, timeout, cache_salt } = rest
  const asked = Object.fromEntries(
    Object.keys(sampling).map((name) => [name, rest[name as keyof typeof sampling]]),
  ) as Pick<ResponsesRequest, keyof typeof sampling>
  return {
    ...asked,
    model,
    messages: toMessages(input, instructions),
    max_tokens: max_output_tokens,
    tools: tools?.map(({ type, ...tool }) => ({ type, function: tool })),
    tool_choice: toChatChoice(tool_choice),
    parallel_tool_calls,
    reasoning_effort: reasoning?.effort ?? undefined,
    response_format: toResponseFormat(text?.format ?? undefined),
    user: user ?? safety_identifier,
    priority,
    timeout,
    cache_salt,
    stream,
    logprobs: false,
    add_generation_prompt: true,
  }
}

function toChatChoice(choice: ResponsesRequest['tool_choice']): ChatRequest['tool_choice'] {
  if (choice === undefined || typeof choice === 'string') return choice
  const named = ({ type, name }: { type: 'function'; name: string }) => ({ type, function: { name } })
  if (choice.type === 'function') return named(choice)
  return { type: 'allowed_tools', allowed_tools: { mode: choice.mode, tools: choice.tools.map(named) } }
}

function toResponseFormat(asked: z.output<typeof format> | undefined): ChatRequest['response_format'] {
  if (asked?.type !== 'json_schema') return asked
  const { type, ...json_schema } = asked
  return { type, json_schema }
}
