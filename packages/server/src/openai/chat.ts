import type { ChatAnswer, ChatPlan, CompletionOutput } from '@slipway/engine'
import { readMessage } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { answerTo, requireModel, type ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { chatSchema, type ChatRequest } from './chat-schema.ts'
import { apiUsage, newEnvelope, type ApiUsage, type Envelope } from './envelope.ts'
import { beamParams, inApiTerms, samplingParams, schedulingOptions } from './fields.ts'
import { apiFinishReason, Generations } from './generations.ts'
import { apiPromptLogprobs, chatLogprobs, type ApiPromptLogprobs, type ChatLogprobs } from './logprobs.ts'
import { toTemplateMessage } from './messages.ts'
import { parseRequest } from './parse.ts'
import { requireFits } from './prompt-limit.ts'
import { sseResponse } from './sse.ts'
import { structuredParams } from './structured-outputs.ts'
import { thinkingOptions } from './thinking-fields.ts'
import { apiToolCallDelta, toTool, toToolChoice, type ApiToolCall, type ApiToolCallDelta } from './tools.ts'

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
  /** Only when asked for. */
  readonly prompt_logprobs?: ApiPromptLogprobs
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
  const adapter = requireModel(context, request.model)
  const envelope = newEnvelope(context, 'chatcmpl', request.model)
  const plan = await readPlan(context, request)
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = request
  const beams = beamParams(request)
  const askedMaxTokens = max_completion_tokens ?? max_tokens
  const generations = Generations.submit(context, {
    id: envelope.id,
    requestId: c.get('requestId'),
    prompts: [plan.prompt],
    params: {
      ...samplingParams(request),
      ...plan.params,
      maxTokens: askedMaxTokens,
      logprobs: logprobs ? (top_logprobs ?? 0) : undefined,
    },
    beamSearch: beams && { ...beams, maxTokens: askedMaxTokens, keepSpecialTokens: plan.params.keepSpecialTokens },
    askedMaxTokens,
    names: {
      prompt: 'messages',
      maxTokens: max_completion_tokens === undefined ? 'max_tokens' : 'max_completion_tokens',
    },
    scheduling: schedulingOptions(request),
    ...adapter,
    signal: c.req.raw.signal,
    scope: c.get('scope'),
  })
  const answers = Array.from({ length: request.n ?? 1 }, () => plan.newAnswer())
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
    ...(output!.promptLogprobs && { prompt_logprobs: apiPromptLogprobs(output!.promptLogprobs) }),
  } satisfies ChatCompletion)
}

/** Renders the prompt, and settles how its answers are constrained and read. */
async function readPlan(context: ServerContext, request: ChatRequest): Promise<ChatPlan> {
  const { llm, options } = context
  const messages = request.messages.map(toTemplateMessage)
  const { tools = [], tool_choice, add_generation_prompt: addGenerationPrompt } = request
  const { toolChoice, allowed } = toToolChoice(tool_choice)
  const chatTools = tools.filter(({ function: { name } }) => !allowed || allowed.has(name)).map(toTool)
  const lost = [...(allowed ?? [])].find((name) => !tools.some((tool) => tool.function.name === name))
  if (lost !== undefined) throw refusal(`tool_choice: there is no tool named ${lost}`, { param: 'tool_choice' })
  const chatTemplateKwargs = request.chat_template_kwargs
  const isHidden = toolChoice === 'none'
  requireFits(
    context,
    [...messages, ...(isHidden ? [] : chatTools), ...Object.values(chatTemplateKwargs ?? {})],
    'messages',
  )
  const formats = context.outputFormats()
  if (chatTools.length > 0 && !isHidden && !formats.tools && options.toolCallParser !== 'none') {
    const remedy = 'remove it, or start the server with --tool-call-parser'
    throw refusal(`tools: the chat template of this model shows no tool calls that we know; ${remedy}`, {
      param: 'tools',
      code: 'unsupported_parameter',
    })
  }
  const { structuredOutputs } = await structuredParams(llm, request)
  const chat = {
    tools: chatTools,
    toolChoice,
    parallelToolCalls: request.parallel_tool_calls,
    chatTemplateKwargs,
    addGenerationPrompt,
    ...thinkingOptions(request),
  }
  const params = { structuredOutputs, skipSpecialTokens: request.skip_special_tokens }
  try {
    const plan = llm.planChat(messages, chat, params, formats)
    // so that a fault of a tool's schema is an answer and not an event of a stream
    if (plan.params.structuredOutputs !== structuredOutputs) await llm.prepare(plan.params)
    return plan
  } catch (error) {
    throw inChatTerms(error)
  }
}

/** A fault of the engine's parameters as one of the body's. */
function inChatTerms(error: unknown): unknown {
  if (!SlipwayError.is(error) || error.kind !== 'request') return error
  const { param } = error.details
  // what was asked of the text alone has been tried before
  const name = param === 'structuredOutputs' ? 'tools' : param
  return refusal(inApiTerms(error.message, 'max_tokens'), {
    ...error.details,
    param: typeof name === 'string' ? inApiTerms(name, 'max_tokens') : null,
  })
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

function chatChoice(output: CompletionOutput, answer: ChatAnswer): ChatCompletion['choices'][number] {
  const { index, logprobs, finishReason } = output
  const { content, reasoningContent, toolCalls } = readMessage(output, answer)
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
      ...(reasoningContent !== '' && { reasoning_content: reasoningContent }),
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
    if (event.type === 'usage' || event.type === 'prompt') continue
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
