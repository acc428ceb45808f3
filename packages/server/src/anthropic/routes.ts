import type { ChatAnswer } from '@slipway/engine'
import type { Context } from 'hono'
import { answerTo, requireModel, type ServerContext } from '../context.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { AnswerParts, partEvents, partsOf, type PartEvent } from '../openai/answer-parts.ts'
import { planRequest, startChat } from '../openai/chat-run.ts'
import type { Generations } from '../openai/generations.ts'
import { parseRequest } from '../openai/parse.ts'
import { renamed } from '../openai/renamed.ts'
import { sseResponse, type TypedEvent } from '../openai/sse.ts'
import { anthropicError } from './errors.ts'
import { newMessage, stopOf, toBlock, usageOf } from './message.ts'
import { countTokensSchema, messagesSchema, names, toChatPrompt, toChatRequest } from './schema.ts'

/** POST /v1/messages: Anthropic's API, whole or streamed. */
export async function postMessages(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { options } = context
  const requestId = c.get('requestId')
  const request = parseRequest(messagesSchema, await readJson(c, options.maxBodyBytes))
  const message = newMessage(request.model)
  try {
    const { generations, answers } = await startChat(c, context, toChatRequest(request), message.id)
    const answer = answers[0]!
    if (request.stream)
      return sseResponse(messageEvents(message, generations, answer), {
        heartbeatSeconds: options.heartbeatSeconds,
        onEnd: () => generations.release(),
        toError: (error) => anthropicError(answerTo(renamed(error, names), context, requestId), requestId),
        isTyped: true,
        ping: { type: 'ping' },
      })
    const [result] = await generations.results()
    const output = result!.outputs[0]!
    const content = partsOf(output, answer).map((part) => toBlock(part))
    return c.json({ ...message, content, ...stopOf(output, answer), usage: usageOf(generations.usage, answer) })
  } catch (error) {
    throw renamed(error, names)
  }
}

/** POST /v1/messages/count_tokens: how many tokens the prompt of such a request has. */
export async function postCountTokens(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const request = parseRequest(countTokensSchema, await readJson(c, context.options.maxBodyBytes))
  requireModel(context, request.model)
  try {
    const { prompt } = await planRequest(context, toChatPrompt(request))
    return c.json({ input_tokens: prompt.length })
  } catch (error) {
    throw renamed(error, names)
  }
}

async function* messageEvents(
  message: ReturnType<typeof newMessage>,
  generations: Generations,
  answer: ChatAnswer,
): AsyncGenerator<TypedEvent & Readonly<Record<string, unknown>>> {
  // what the cache has of the prompt is known when it has been computed
  const promptTokens = generations.promptTokenIds(0).length
  const usage = usageOf({ promptTokens, completionTokens: 0, cachedTokens: 0 }, answer)
  yield { type: 'message_start', message: { ...message, usage } }
  yield { type: 'ping' }
  const source = partEvents(generations, answer, new AnswerParts())
  let next = await source.next()
  for (; !next.done; next = await source.next()) yield blockEvent(next.value)
  yield { type: 'message_delta', delta: stopOf(next.value, answer), usage: usageOf(generations.usage, answer) }
  yield { type: 'message_stop' }
}

function blockEvent(event: PartEvent): TypedEvent & Readonly<Record<string, unknown>> {
  const { index, part } = event
  if (event.type === 'delta') return { type: 'content_block_delta', index, delta: pieceOf(part.kind, event.delta) }
  if (event.type === 'end') return { type: 'content_block_stop', index }
  return { type: 'content_block_start', index, content_block: toBlock(part, true) }
}

function pieceOf(kind: PartEvent['part']['kind'], delta: string): object {
  if (kind === 'text') return { type: 'text_delta', text: delta }
  if (kind === 'reasoning') return { type: 'thinking_delta', thinking: delta }
  return { type: 'input_json_delta', partial_json: delta }
}
