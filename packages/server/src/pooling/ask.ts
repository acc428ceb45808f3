import type { BatchOptions, PlainPrompt, PoolingParams, RequestRecord, Usage } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import { randomBytes } from 'node:crypto'
import type { z } from 'zod'
import type { ServerContext } from '../context.ts'
import { refusal, unavailable } from '../http/errors.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { RequestScope } from '../observe/request-scope.ts'
import { schedulingOptions } from '../openai/fields.ts'
import { toTemplateMessage } from '../openai/messages.ts'
import { requireFits } from '../openai/prompt-limit.ts'
import type { embeddingsSchema } from './schemas.ts'

type InputBody = Pick<
  z.output<typeof embeddingsSchema>,
  'input' | 'messages' | 'add_generation_prompt' | 'chat_template_kwargs'
>

/** The prompts of a body, those of a conversation through the chat template. */
export function promptsOf(context: ServerContext, body: InputBody, params: PoolingParams): PlainPrompt[] {
  const { input, messages, add_generation_prompt = false, chat_template_kwargs } = body
  if (input) return input.map((prompt) => fitting(context, prompt, 'input', params))
  requireFits(context, messages!, 'messages')
  const options = {
    addGenerationPrompt: add_generation_prompt,
    ...(chat_template_kwargs && { chatTemplateKwargs: chat_template_kwargs }),
  }
  return [context.llm.renderChat(messages!.map(toTemplateMessage), options)]
}

/**
 * Tokenising runs in the thread that serves HTTP, so text that is too long whatever its tokens is refused before, or cut
 * roughly where it is to be cut anyway: spaces may count for nothing, so four times the length is left.
 */
export function fitting<P extends PlainPrompt>(
  context: ServerContext,
  prompt: P,
  param: string,
  { truncatePromptTokens, truncationSide }: PoolingParams,
): P {
  if (truncatePromptTokens === undefined) requireFits(context, [prompt], param)
  if (truncatePromptTokens === undefined || typeof prompt !== 'string') return prompt
  const most = 4 * context.llm.info.maxModelLen * context.longestToken()
  return (truncationSide === 'left' ? prompt.slice(-most) : prompt.slice(0, most)) as P
}

/**
 * Lets `ask` put its requests to the engine, with the ways in which they end early: the client goes, or the server
 * closes. Faults are told in the API's names.
 */
export function asking<R>(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Parameters<typeof schedulingOptions>[0],
  promptName: string,
  ask: (options: BatchOptions) => Promise<R>,
): Promise<R> {
  const caller = { requestId: c.get('requestId'), gone: c.req.raw.signal, scope: c.get('scope') }
  return askingFor(caller, context, body, promptName, ask)
}

interface PoolingCaller {
  readonly requestId: string
  readonly gone: AbortSignal
  readonly scope: RequestScope
}

/** The same, whatever way the request came; `gone` tells that nobody waits for the answer any more. */
export async function askingFor<R>(
  { requestId, gone, scope }: PoolingCaller,
  context: ServerContext,
  body: Parameters<typeof schedulingOptions>[0],
  promptName: string,
  ask: (options: BatchOptions) => Promise<R>,
): Promise<R> {
  const closing = new AbortController()
  const entry = { ids: [requestId], abort: () => closing.abort() }
  const records: RequestRecord[] = []
  context.open.add(entry)
  try {
    const signal = AbortSignal.any([gone, closing.signal])
    const onRequest = (record: RequestRecord): void => void records.push(record)
    return await ask({ ...schedulingOptions(body), signal, progress: false, onRequest })
  } catch (error) {
    if (closing.signal.aborted && context.isDraining) throw unavailable('the server is shutting down', 'shutting_down')
    if (closing.signal.aborted) throw unavailable('an administrator of the server ended this request', 'aborted')
    // nobody reads the answer any more
    if (gone.aborted) throw refusal('the client has gone', { code: 'aborted' })
    throw withApiNames(error, promptName)
  } finally {
    context.open.delete(entry)
    for (const record of records) scope.add(record)
  }
}

function withApiNames(error: unknown, promptName: string): unknown {
  if (!SlipwayError.is(error) || error.kind !== 'request') return error
  const { param } = error.details
  return new SlipwayError('request', snake(error.message), {
    ...error.details,
    ...(typeof param === 'string' && { param: param === 'prompt' ? promptName : snake(param) }),
  })
}

/** The engine's names as the API's: `truncatePromptTokens` is `truncate_prompt_tokens`. */
function snake(text: string): string {
  const names = /\b(truncatePromptTokens|truncationSide|addSpecialTokens|cacheSalt)\b/g
  return text.replace(names, (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`))
}

/** What every answer begins with. */
export function newAnswer(prefix: 'embd' | 'classify' | 'score' | 'rerank' | 'pool', model: string) {
  return {
    id: `${prefix}-${randomBytes(16).toString('hex')}`,
    object: 'list' as const,
    created: Math.floor(Date.now() / 1000),
    model,
  }
}

/** Usage of all texts; nothing is generated. */
export function usageOf(results: readonly { readonly usage: Usage }[]) {
  const tokens = results.reduce((sum, { usage }) => sum + usage.promptTokens, 0)
  return { prompt_tokens: tokens, total_tokens: tokens }
}

/** Numbers as JSON, or as base64 of little-endian f32. */
export function encoded(values: Float32Array, format: 'float' | 'base64'): number[] | string {
  if (format === 'float') return Array.from(values)
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64')
}
