import type { ChatAnswer, CompletionOutput } from '@slipway/engine'
import { readMessage } from '@slipway/engine'
import type { Context } from 'hono'
import { answerTo, type ServerContext } from '../context.ts'
import { jsonResponse } from '../http/direct-response.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { ChatCompletion, ChatCompletionChunk } from './answers.ts'
import { startChat } from './chat-run.ts'
import type { ChatRequest } from './chat-schema.ts'
import { apiUsage, newEnvelope, type Envelope } from './envelope.ts'
import { apiFinishReason, Generations } from './generations.ts'
import { apiPromptLogprobs, chatLogprobs } from './logprobs.ts'
import { sseResponse } from './sse.ts'
import { apiToolCallDelta } from './tools.ts'

/** POST /v1/chat/completions */
export async function postChatCompletions(
  c: Context<ServerEnv>,
  context: ServerContext,
  request: ChatRequest,
): Promise<Response> {
  const { options } = context
  const envelope = newEnvelope(context, 'chatcmpl', request.model)
  const { generations, answers } = await startChat(c, context, request, envelope.id)
  if (request.stream)
    return sseResponse(chatChunks(generations, answers, envelope, request), {
      heartbeatSeconds: options.heartbeatSeconds,
      onEnd: () => generations.release(),
      toError: (error) => answerTo(error, context, c.get('requestId')).body,
    })
  const [output] = await generations.results()
  return jsonResponse({
    object: 'chat.completion',
    ...envelope,
    choices: output!.outputs.map((choice) => chatChoice(choice, answers[choice.index]!)),
    usage: apiUsage(generations.usage, reasoningTokens(answers)),
    ...(output!.promptLogprobs && { prompt_logprobs: apiPromptLogprobs(output!.promptLogprobs) }),
  } satisfies ChatCompletion)
}

function reasoningTokens(answers: readonly ChatAnswer[]): number | undefined {
  return answers.reduce<number | undefined>(
    (sum, { reasoningTokens }) => (reasoningTokens === undefined ? sum : (sum ?? 0) + reasoningTokens),
    undefined,
  )
}

function chatFinishReason(
  reason: CompletionOutput['finishReason'],
  { hasToolCalls }: ChatAnswer,
): ChatCompletion['choices'][number]['finish_reason'] {
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
