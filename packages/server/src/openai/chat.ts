import type { CompletionOutput } from '@slipway/engine'
import { OutputCollector } from '@slipway/parsers'
import type { Context } from 'hono'
import { answerTo, requireModel, type ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import {
  apiToolCallDelta,
  ChatAnswer,
  specialMarkers,
  type AnswerOptions,
  type ApiToolCall,
  type ApiToolCallDelta,
} from './chat-answer.ts'
import { chatSchema, type ChatRequest } from './chat-schema.ts'
import { apiUsage, newEnvelope, type ApiUsage, type Envelope } from './envelope.ts'
import { samplingParams, schedulingOptions } from './fields.ts'
import { apiFinishReason, Generations } from './generations.ts'
import { chatLogprobs, type ChatLogprobs } from './logprobs.ts'
import { toTemplateMessage } from './messages.ts'
import { parseRequest } from './parse.ts'
import { requireFits } from './prompt-limit.ts'
import { sseResponse } from './sse.ts'
import { structuredParams } from './structured-outputs.ts'
import { toTool } from './tools.ts'

type ChatFinishReason = 'stop' | 'length' | 'tool_calls'

export interface ChatCompletion extends Envelope {
  readonly object: 'chat.completion'
  readonly choices: {
    readonly index: number
    readonly message: {
      readonly role: 'assistant'
      /** Null where there are tool calls and nothing else. */
      readonly content: string | null
      readonly refusal: null
      readonly reasoning_content?: string
      readonly tool_calls?: ApiToolCall[]
    }
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: ChatFinishReason
  }[]
  readonly usage: ApiUsage
}

export interface ChatCompletionChunk extends Envelope {
  readonly object: 'chat.completion.chunk'
  readonly choices: {
    readonly index: number
    readonly delta: {
      readonly role?: 'assistant'
      readonly content?: string
      readonly refusal?: null
      readonly reasoning_content?: string
      readonly tool_calls?: ApiToolCallDelta[]
    }
    readonly logprobs: ChatLogprobs | null
    readonly finish_reason: ChatFinishReason | null
  }[]
  /** Only when asked for: null in all chunks but the last. */
  readonly usage?: ApiUsage | null
}

/** POST /v1/chat/completions */
export async function postChatCompletions(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { options } = context
  const request = parseRequest(chatSchema, await readJson(c.req.raw, options.maxBodyBytes))
  requireModel(context, request.model)
  const envelope = newEnvelope(context, 'chatcmpl', request.model)
  const answerOptions = readAnswerOptions(context, request)
  const structured = await structuredParams(context.llm, request)
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = request
  const askedMaxTokens = max_completion_tokens ?? max_tokens
  const generations = Generations.submit(context, {
    id: envelope.id,
    prompts: [answerOptions.prompt],
    params: {
      ...samplingParams(request),
      keepSpecialTokens: answerOptions.decode.keepSpecialTokens,
      ...structured,
      maxTokens: askedMaxTokens,
      logprobs: logprobs ? (top_logprobs ?? 0) : undefined,
    },
    askedMaxTokens,
    names: {
      prompt: 'messages',
      maxTokens: max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
    },
    scheduling: schedulingOptions(request),
    signal: c.req.raw.signal,
    scope: c.get('scope'),
  })
  const answers = Array.from({ length: request.n ?? 1 }, () => new ChatAnswer(answerOptions))
  if (request.stream)
    return sseResponse(chatChunks(generations, answers, envelope, request), {
      heartbeatSeconds: options.heartbeatSeconds,
      onEnd: () => generations.release(),
      toError: (error) => answerTo(error, context, c.get('requestId')).body,
    })
  const [output] = await generations.results()
  return c.json({
    object: 'chat.completion',
    ...envelope,
    choices: output!.outputs.map((choice) => chatChoice(choice, answers[choice.index]!)),
    usage: apiUsage(generations.usage, reasoningTokens(answers)),
  } satisfies ChatCompletion)
}

/** Renders the prompt, and settles how its answers are to be read. */
function readAnswerOptions(context: ServerContext, request: ChatRequest): AnswerOptions {
  const { llm, options } = context
  const messages = request.messages.map(toTemplateMessage)
  // who wants no calls is best served by a model that knows of no tools
  const tools = request.tool_choice === 'none' ? [] : (request.tools ?? []).map(toTool)
  const { enable_thinking, add_generation_prompt: addGenerationPrompt } = request
  const kwargs = { ...request.chat_template_kwargs, ...(enable_thinking !== undefined && { enable_thinking }) }
  requireFits(context, [...messages, ...tools, ...Object.values(kwargs)], 'messages')
  const { reasoning, tools: format } = context.outputFormats()
  if (tools.length > 0 && !format && options.toolCallParser !== 'none') {
    const remedy = 'remove it, or start the server with --tool-call-parser'
    throw refusal(`tools: the chat template of this model shows no tool calls that we know; ${remedy}`, {
      param: 'tools',
      code: 'unsupported_parameter',
    })
  }
  const prompt = llm.renderChat(messages, { addGenerationPrompt, tools, chatTemplateKwargs: kwargs })
  const toolFormat = tools.length > 0 ? format : undefined
  const { tokenizer } = llm
  const decode = {
    skipSpecialTokens: request.skip_special_tokens ?? true,
    keepSpecialTokens: specialMarkers(tokenizer, reasoning, toolFormat),
  }
  return { tokenizer, decode, prompt, reasoning, toolFormat, tools }
}

function reasoningTokens(answers: readonly ChatAnswer[]): number | undefined {
  return answers.reduce<number | undefined>(
    (sum, { reasoningTokens }) => (reasoningTokens === undefined ? sum : (sum ?? 0) + reasoningTokens),
    undefined,
  )
}

function chatFinishReason(reason: CompletionOutput['finishReason'], { hasToolCalls }: ChatAnswer): ChatFinishReason {
  const plain = apiFinishReason(reason)
  return plain === 'stop' && hasToolCalls ? 'tool_calls' : plain
}

function chatChoice(
  { index, text, tokenIds, logprobs, finishReason }: CompletionOutput,
  answer: ChatAnswer,
): ChatCompletion['choices'][number] {
  const collector = new OutputCollector()
  collector.add(answer.push(text, tokenIds))
  collector.add(answer.finish())
  const { reasoning, content, toolCalls } = collector.output
  const calls = toolCalls.map(({ id, name, arguments: args }) => ({
    id,
    type: 'function' as const,
    function: { name, arguments: args },
  }))
  return {
    index,
    message: {
      role: 'assistant',
      content: content === '' && calls.length > 0 ? null : content,
      refusal: null,
      ...(reasoning !== '' && { reasoning_content: reasoning }),
      ...(calls.length > 0 && { tool_calls: calls }),
    },
    logprobs: logprobs ? chatLogprobs(logprobs) : null,
    finish_reason: chatFinishReason(finishReason, answer),
  }
}

async function* chatChunks(
  generations: Generations,
  answers: readonly ChatAnswer[],
  envelope: Envelope,
  { stream_options }: ChatRequest,
): AsyncGenerator<ChatCompletionChunk> {
  const withUsage = stream_options?.include_usage === true
  const base = { object: 'chat.completion.chunk', ...envelope, ...(withUsage && { usage: null }) } as const
  for (const index of answers.keys()) {
    const delta = { role: 'assistant', content: '', refusal: null } as const
    yield { ...base, choices: [{ index, delta, logprobs: null, finish_reason: null }] }
  }
  for await (const event of generations.events()) {
    if (event.type === 'usage') continue
    const { index } = event
    const answer = answers[index]!
    const isEnd = event.type === 'finish'
    const { content, reasoning, toolCalls } = isEnd ? answer.finish() : answer.push(event.text, event.tokenIds)
    const delta = {
      ...(reasoning !== undefined && { reasoning_content: reasoning }),
      ...(content !== undefined && { content }),
      ...(toolCalls && { tool_calls: toolCalls.map(apiToolCallDelta) }),
    }
    const logprobs = !isEnd && event.logprobs ? chatLogprobs(event.logprobs) : null
    if (Object.keys(delta).length > 0 || logprobs)
      yield { ...base, choices: [{ index, delta, logprobs, finish_reason: null }] }
    if (!isEnd) continue
    const finish_reason = chatFinishReason(event.finishReason, answer)
    yield { ...base, choices: [{ index, delta: {}, logprobs: null, finish_reason }] }
  }
  if (withUsage) yield { ...base, choices: [], usage: apiUsage(generations.usage, reasoningTokens(answers)) }
}
