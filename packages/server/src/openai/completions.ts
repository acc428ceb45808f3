import type { Prompt } from '@slipway/engine'
import type { Context } from 'hono'
import { answerTo, requireModel, type ServerContext } from '../context.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { CompletionChoices, type CompletionChoice } from './completion-choices.ts'
import { completionSchema, type CompletionRequest } from './completion-schema.ts'
import { apiUsage, newEnvelope, type ApiUsage, type Envelope } from './envelope.ts'
import { beamParams, samplingParams, schedulingOptions } from './fields.ts'
import { apiFinishReason, Generations, type Submission } from './generations.ts'
import { parseRequest } from './parse.ts'
import { requireFits } from './prompt-limit.ts'
import type { GivenPrompt } from './prompts.ts'
import { sseResponse } from './sse.ts'
import { structuredParams } from './structured-outputs.ts'

export interface Completion extends Envelope {
  readonly object: 'text_completion'
  readonly choices: CompletionChoice<'stop' | 'length'>[]
  readonly usage: ApiUsage
}

/** A chunk of a stream has the form of the whole, with pieces of text. */
export interface CompletionChunk extends Envelope {
  readonly object: 'text_completion'
  readonly choices: CompletionChoice<'stop' | 'length' | null>[]
  /** Only when asked for: null in all chunks but the last. */
  readonly usage?: ApiUsage | null
}

/** OpenAI's. */
const defaultMaxTokens = 16

/** POST /v1/completions */
export async function postCompletions(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { llm, options } = context
  const request = parseRequest(completionSchema, await readJson(c.req.raw, options.maxBodyBytes))
  const envelope = newEnvelope(context, 'cmpl', request.model)
  const generations = await submitCompletions(context, request, {
    id: envelope.id,
    requestId: c.get('requestId'),
    promptName: 'prompt',
    signal: c.req.raw.signal,
    scope: c.get('scope'),
  })
  const choices = new CompletionChoices(llm.tokenizer, request)
  if (request.stream)
    return sseResponse(completionChunks(generations, envelope, request, choices), {
      heartbeatSeconds: options.heartbeatSeconds,
      onEnd: () => generations.release(),
      toError: (error) => answerTo(error, context, c.get('requestId')).body,
    })
  const results = await generations.results()
  return c.json({
    object: 'text_completion',
    ...envelope,
    choices: results.flatMap((result, prompt) =>
      result.outputs.map((output) => choices.choice(prompt, output, result)),
    ),
    usage: apiUsage({ ...generations.usage, ...(request.max_tokens === 0 && { completionTokens: 0 }) }),
  } satisfies Completion)
}

/** Who asks, and how it is told what. */
export type Caller = Pick<Submission, 'id' | 'signal' | 'scope'> & {
  readonly requestId: string
  readonly promptName: string
}

/** Gives a request to the engine, whatever way it came. */
export async function submitCompletions(
  context: ServerContext,
  request: CompletionRequest,
  { promptName, ...caller }: Caller,
): Promise<Generations> {
  const adapter = requireModel(context, request.model)
  const { suffix = '' } = request
  for (const prompt of request.prompt) requireFits(context, [prompt], promptName)
  requireFits(context, [suffix], 'suffix')
  const structured = await structuredParams(context.llm, request)
  const beams = beamParams(request)
  return Generations.submit(context, {
    ...caller,
    prompts: request.prompt.map((prompt) => withSuffix(prompt, suffix)),
    params: {
      ...samplingParams(request),
      ...structured,
      maxTokens: Math.max(1, request.max_tokens ?? defaultMaxTokens),
      logprobs: request.logprobs,
      bestOf: request.best_of,
      promptLogprobs: request.prompt_logprobs ?? (request.echo ? request.logprobs : undefined),
    },
    beamSearch: beams && { ...beams, maxTokens: request.max_tokens ?? defaultMaxTokens },
    askedMaxTokens: request.max_tokens,
    names: { prompt: promptName, maxTokens: 'max_tokens' },
    scheduling: schedulingOptions(request),
    ...adapter,
  })
}

/** The schema lets a suffix stand only with texts; an empty one is none. */
function withSuffix(prompt: GivenPrompt, suffix: string): Prompt {
  return typeof prompt === 'string' && suffix !== '' ? { prefix: prompt, suffix } : prompt
}

async function* completionChunks(
  generations: Generations,
  envelope: Envelope,
  { stream_options, echo, logprobs: numLogprobs }: CompletionRequest,
  form: CompletionChoices,
): AsyncGenerator<CompletionChunk> {
  const withUsage = stream_options?.include_usage === true
  const base = { object: 'text_completion', ...envelope, ...(withUsage && { usage: null }) } as const
  const plain = { logprobs: null, finish_reason: null }
  const withLogprobs = numLogprobs !== undefined
  if (echo && !withLogprobs)
    for (const [index, text] of form.echoes().entries()) yield { ...base, choices: [{ index, text, ...plain }] }
  for await (const event of generations.events()) {
    if (event.type === 'usage') continue
    if (event.type === 'prompt') {
      const index = form.place(event.prompt, 0)
      const logprobs = form.promptLogprobs(index, generations.promptTokenIds(event.prompt), event.logprobs)
      yield { ...base, choices: [{ index, text: form.echo(event.prompt), logprobs, finish_reason: null }] }
      continue
    }
    const index = form.place(event.prompt, event.index)
    if (event.type === 'finish') {
      yield {
        ...base,
        choices: [{ index, text: '', logprobs: null, finish_reason: apiFinishReason(event.finishReason) }],
      }
    } else if (event.text !== '' || event.logprobs) {
      const logprobs = event.logprobs ? form.logprobs(index, event.logprobs) : null
      yield { ...base, choices: [{ index, text: event.text, logprobs, finish_reason: null }] }
    }
  }
  if (withUsage) yield { ...base, choices: [], usage: apiUsage(generations.usage) }
}
