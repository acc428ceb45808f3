import type { ChatAnswer, ChatPlan } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { requireModel, type ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { ChatRequest } from './chat-schema.ts'
import { beamParams, inApiTerms, samplingParams, schedulingOptions } from './fields.ts'
import { Generations } from './generations.ts'
import { toTemplateMessage } from './messages.ts'
import { requireFits } from './prompt-limit.ts'
import { structuredParams } from './structured-outputs.ts'
import { thinkingOptions } from './thinking-fields.ts'
import { toTool, toToolChoice } from './tools.ts'

/** The answers to a conversation under way, and a reader for each. */
export interface ChatRun {
  readonly generations: Generations
  readonly answers: readonly ChatAnswer[]
}

/** Hands a conversation to the engine; `id` names its answer. Whatever asks for chat in other words ends here. */
export async function startChat(
  c: Context<ServerEnv>,
  context: ServerContext,
  request: ChatRequest,
  id: string,
): Promise<ChatRun> {
  const adapter = requireModel(context, request.model)
  const plan = await planRequest(context, request)
  const { max_tokens, max_completion_tokens, logprobs, top_logprobs } = request
  const beams = beamParams(request)
  const askedMaxTokens = max_completion_tokens ?? max_tokens
  const generations = Generations.submit(context, {
    id,
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
  return { generations, answers: Array.from({ length: request.n ?? 1 }, () => plan.newAnswer()) }
}

/** Renders the prompt, and settles how its answers are constrained and read. */
export async function planRequest(context: ServerContext, request: ChatRequest): Promise<ChatPlan> {
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
