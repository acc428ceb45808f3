import type { CompletionOutput } from '@slipway/engine'
import type { Context } from 'hono'
import { answerTo, requireModel, type ServerContext } from '../context.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { chatSchema, type ChatRequest } from './chat-schema.ts'
import { apiUsage, newEnvelope, type ApiUsage, type Envelope } from './envelope.ts'
import { samplingParams } from './fields.ts'
import { apiFinishReason, Generations } from './generations.ts'
import { chatLogprobs, type ChatLogprobs } from './logprobs.ts'
import { toTemplateMessage } from './messages.ts'
import { parseRequest } from './parse.ts'
import { requireFits } from './prompt-limit.ts'
import { sseResponse } from './sse.ts'

export interface ChatCompletion extends Envelope {
  readonly object: 'chat.completion'
  readonly choices: {
    readonly index: number
    readonly message: { readonly role: 'assistant'; readonly content: string; readonly refusal: null }
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: 'stop' | 'length'
  }[]
  readonly usage: ApiUsage
}

export interface ChatCompletionChunk extends Envelope {
  readonly object: 'chat.completion.chunk'
  readonly choices: {
    readonly index: number
    readonly delta: { readonly role?: 'assistant'; readonly content?: string; readonly refusal?: null }
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: 'stop' | 'length' | null
  }[]
  /** Only when asked for: null in all chunks but the last. */
  readonly usage?: ApiUsage | null
}

/** POST /v1/chat/completions */
export async function postChatCompletions(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { llm, options } = context
  const request = parseRequest(chatSchema, await readJson(c.req.raw, options.maxBodyBytes))
  requireModel(context, request.model)
  const envelope = newEnvelope(context, 'chatcmpl', request.model)
  const messages = request.messages.map(toTemplateMessage)
  const { chat_template_kwargs: kwargs, add_generation_prompt: addGenerationPrompt } = request
  requireFits(context, kwargs ? [...messages, kwargs] : messages, 'messages')
  const prompt = llm.renderChat(messages, { addGenerationPrompt, ...(kwargs && { chatTemplateKwargs: kwargs }) })
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = request
  const askedMaxTokens = max_completion_tokens ?? max_tokens
  const generations = Generations.submit(context, {
    id: envelope.id,
    prompts: [prompt],
    params: {
      ...samplingParams(request),
      maxTokens: askedMaxTokens,
      logprobs: logprobs ? (top_logprobs ?? 0) : undefined,
    },
    askedMaxTokens,
    names: {
      prompt: 'messages',
      maxTokens: max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
    },
    signal: c.req.raw.signal,
  })
  if (request.stream)
    return sseResponse(chatChunks(generations, envelope, request), {
      heartbeatSeconds: options.heartbeatSeconds,
      onEnd: () => generations.release(),
      toError: (error) => answerTo(error, context, c.get('requestId')).body,
    })
  const [output] = await generations.results()
  return c.json({
    object: 'chat.completion',
    ...envelope,
    choices: output!.outputs.map(chatChoice),
    usage: apiUsage(generations.usage),
  } satisfies ChatCompletion)
}

function chatChoice({ index, text, logprobs, finishReason }: CompletionOutput): ChatCompletion['choices'][number] {
  return {
    index,
    message: { role: 'assistant', content: text, refusal: null },
    logprobs: logprobs ? chatLogprobs(logprobs) : null,
    finish_reason: apiFinishReason(finishReason),
  }
}

async function* chatChunks(
  generations: Generations,
  envelope: Envelope,
  { n = 1, stream_options }: ChatRequest,
): AsyncGenerator<ChatCompletionChunk> {
  const withUsage = stream_options?.include_usage === true
  const base = { object: 'chat.completion.chunk', ...envelope, ...(withUsage && { usage: null }) } as const
  for (let index = 0; index < n; index++) {
    const delta = { role: 'assistant', content: '', refusal: null } as const
    yield { ...base, choices: [{ index, delta, logprobs: null, finish_reason: null }] }
  }
  for await (const event of generations.events()) {
    if (event.type === 'delta' && (event.text !== '' || event.logprobs)) {
      const { index, text, logprobs } = event
      const named = logprobs ? chatLogprobs(logprobs) : null
      yield { ...base, choices: [{ index, delta: { content: text }, logprobs: named, finish_reason: null }] }
    } else if (event.type === 'finish') {
      const finish_reason = apiFinishReason(event.finishReason)
      yield { ...base, choices: [{ index: event.index, delta: {}, logprobs: null, finish_reason }] }
    }
  }
  if (withUsage) yield { ...base, choices: [], usage: apiUsage(generations.usage) }
}
