import type { Context } from 'hono'
import { answerTo, type ServerContext } from '../context.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { partsOf } from '../openai/answer-parts.ts'
import { startChat } from '../openai/chat-run.ts'
import { apiFinishReason } from '../openai/generations.ts'
import { parseRequest } from '../openai/parse.ts'
import { renamed } from '../openai/renamed.ts'
import { sseResponse } from '../openai/sse.ts'
import { ResponseEvents } from './events.ts'
import { finished, newItemId, newResponse, toItem } from './response.ts'
import { names, responsesSchema, toChatRequest } from './schema.ts'

/** POST /v1/responses: OpenAI's API of items, without its memory: every request brings its whole conversation. */
export async function postResponses(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { options } = context
  const request = parseRequest(responsesSchema, await readJson(c, options.maxBodyBytes))
  const response = newResponse(request)
  try {
    const { generations, answers } = await startChat(c, context, toChatRequest(request), response.id)
    const answer = answers[0]!
    if (request.stream) {
      const events = new ResponseEvents(response, generations, answer)
      return sseResponse(events.all(), {
        heartbeatSeconds: options.heartbeatSeconds,
        onEnd: () => generations.release(),
        toError: (error) => events.failed(answerTo(renamed(error, names), context, c.get('requestId')).body),
        isTyped: true,
      })
    }
    const [result] = await generations.results()
    const output = result!.outputs[0]!
    const isWhole = apiFinishReason(output.finishReason) === 'stop'
    const parts = partsOf(output, answer)
    const items = parts.map((part, i) =>
      toItem(part, newItemId(part), isWhole || i < parts.length - 1 ? 'completed' : 'incomplete'),
    )
    return c.json(finished(response, items, isWhole, generations.usage, answer))
  } catch (error) {
    throw renamed(error, names)
  }
}
