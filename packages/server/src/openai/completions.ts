import type { CompletionOutput } from '@slipway/engine'
import type { Context } from 'hono'
import { requireModel, type ServerContext } from '../context.ts'
import { toApiError } from '../http/errors.ts'
import { readJson } from '../http/json-body.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { completionSchema, toPrompts, type CompletionRequest } from './completion-schema.ts'
import { apiUsage, newEnvelope, type ApiUsage, type Envelope } from './envelope.ts'
import { samplingParams } from './fields.ts'
import { apiFinishReason, Generations } from './generations.ts'
import { CompletionLogprobsWriter, type CompletionLogprobs } from './logprobs.ts'
import { parseRequest } from './parse.ts'
import { sseResponse } from './sse.ts'

interface Choice<Reason> {
  /** Place of the prompt times `n`, plus the place among its completions. */
  readonly index: number
  readonly text: string
  readonly logprobs: CompletionLogprobs | null
  readonly finish_reason: Reason
}

export interface Completion extends Envelope {
  readonly object: 'text_completion'
  readonly choices: Choice<'stop' | 'length'>[]
  readonly usage: ApiUsage
}

/** A chunk of a stream has the form of the whole, with pieces of text. */
export interface CompletionChunk extends Envelope {
  readonly object: 'text_completion'
  readonly choices: Choice<'stop' | 'length' | null>[]
  /** Only when asked for: null in all chunks but the last. */
  readonly usage?: ApiUsage | null
}

/** POST /v1/completions */
export async function postCompletions(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { options } = context
  const request = parseRequest(completionSchema, await readJson(c.req.raw, options.maxBodyBytes))
  requireModel(context, request.model)
  const envelope = newEnvelope(context, 'cmpl', request.model)
  const prompts = toPrompts(request.prompt)
  const generations = Generations.submit(context, {
    id: envelope.id,
    prompts,
    params: { ...samplingParams(request), maxTokens: request.max_tokens, logprobs: request.logprobs },
    maxTokensName: 'max_tokens',
    signal: c.req.raw.signal,
  })
  const shape = new Shape(context, request, prompts)
  if (request.stream)
    return sseResponse(completionChunks(generations, envelope, request, shape), {
      heartbeatSeconds: options.heartbeatSeconds,
      onEnd: () => generations.release(),
      toError: (error) => toApiError(error, c.get('requestId')).body,
    })
  const results = await generations.results()
  return c.json({
    ...envelope,
    object: 'text_completion',
    choices: results.flatMap(({ outputs }, prompt) => outputs.map((output) => shape.choice(prompt, output))),
    usage: apiUsage(generations.usage),
  } satisfies Completion)
}

/** What the request says about the form of its choices. */
class Shape {
  readonly #context: ServerContext
  readonly #request: CompletionRequest
  readonly #prompts: readonly (string | number[])[]
  readonly #writers = new Map<number, CompletionLogprobsWriter>()

  constructor(context: ServerContext, request: CompletionRequest, prompts: readonly (string | number[])[]) {
    this.#context = context
    this.#request = request
    this.#prompts = prompts
  }

  choice(prompt: number, { index, text, logprobs, finishReason }: CompletionOutput): Completion['choices'][number] {
    const place = this.place(prompt, index)
    return {
      index: place,
      text: this.echo(prompt) + text,
      logprobs: logprobs ? this.logprobs(place, logprobs) : null,
      finish_reason: apiFinishReason(finishReason),
    }
  }

  place(prompt: number, index: number): number {
    return prompt * (this.#request.n ?? 1) + index
  }

  /** The prompt's text if it is to be given back. */
  echo(prompt: number): string {
    const given = this.#prompts[prompt]!
    if (!this.#request.echo) return ''
    return typeof given === 'string' ? given : this.#context.llm.tokenizer.decode(given)
  }

  /** By place. */
  echoes(): string[] {
    const { n = 1 } = this.#request
    return this.#prompts.flatMap((_, prompt) => Array.from({ length: n }, () => this.echo(prompt)))
  }

  logprobs(place: number, entries: Parameters<CompletionLogprobsWriter['write']>[0]): CompletionLogprobs {
    const writer = this.#writers.get(place) ?? this.#newWriter()
    this.#writers.set(place, writer)
    return writer.write(entries)
  }

  #newWriter(): CompletionLogprobsWriter {
    const skipSpecialTokens = this.#request.skip_special_tokens ?? true
    return new CompletionLogprobsWriter(this.#context.llm.tokenizer, { skipSpecialTokens })
  }
}

async function* completionChunks(
  generations: Generations,
  envelope: Envelope,
  { stream_options, echo }: CompletionRequest,
  shape: Shape,
): AsyncGenerator<CompletionChunk> {
  const withUsage = stream_options?.include_usage === true
  const base = { ...envelope, object: 'text_completion', ...(withUsage && { usage: null }) } as const
  const empty = { text: '', logprobs: null, finish_reason: null }
  if (echo)
    for (const [index, text] of shape.echoes().entries()) yield { ...base, choices: [{ ...empty, index, text }] }
  for await (const event of generations.events()) {
    if (event.type === 'usage') continue
    const index = shape.place(event.prompt, event.index)
    if (event.type === 'finish') {
      yield { ...base, choices: [{ ...empty, index, finish_reason: apiFinishReason(event.finishReason) }] }
    } else if (event.text !== '' || event.logprobs) {
      const logprobs = event.logprobs ? shape.logprobs(index, event.logprobs) : null
      yield { ...base, choices: [{ ...empty, index, text: event.text, logprobs }] }
    }
  }
  if (withUsage) yield { ...base, choices: [], usage: apiUsage(generations.usage) }
}
