import { readEvents } from './sse.ts'

/** A log-probability as the server tells it. */
export interface TokenEntry {
  readonly token: string
  readonly logprob: number
  /** Null for a part of a character. */
  readonly bytes: readonly number[] | null
  readonly top_logprobs: readonly { readonly token: string; readonly logprob: number }[]
}

export interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly prompt_tokens_details?: { readonly cached_tokens?: number }
}

/** One chunk of a streamed chat completion, as far as the page reads it. */
export interface ChatChunk {
  readonly choices: readonly {
    readonly delta: {
      readonly content?: string | null
      readonly reasoning_content?: string | null
      readonly tool_calls?: readonly {
        readonly index: number
        readonly id?: string
        readonly function?: { readonly name?: string; readonly arguments?: string }
      }[]
    }
    readonly logprobs?: { readonly content?: readonly TokenEntry[] | null } | null
    readonly finish_reason: string | null
  }[]
  readonly usage?: Usage | null
}

/** An answer of the server that is an error, or none at all (status 0). */
export class ApiError extends Error {
  readonly status: number
  /** The parameter that is at fault, where one is. */
  readonly param: string | undefined

  constructor(message: string, status: number, param?: string | null) {
    super(message)
    this.status = status
    this.param = param ?? undefined
  }
}

function apiError(body: unknown, status: number): ApiError {
  const { error } = (body ?? {}) as { error?: { message?: string; param?: string | null } }
  return new ApiError(error?.message ?? `the server answered with status ${status}`, status, error?.param)
}

export interface RequestOptions {
  readonly key: string
  readonly signal?: AbortSignal
  readonly body?: unknown
}

/** Asks the server; an answer other than 2xx is thrown. Without a body it is a GET. */
export async function request(path: string, { key, signal, body }: RequestOptions): Promise<Response> {
  const headers = {
    ...(key !== '' && { authorization: `Bearer ${key}` }),
    ...(body !== undefined && { 'content-type': 'application/json' }),
  }
  const response = await fetch(path, {
    headers,
    ...(signal && { signal }),
    ...(body !== undefined && { method: 'POST', body: JSON.stringify(body) }),
  }).catch((error: unknown) => {
    if (signal?.aborted) throw error
    throw new ApiError('the server does not answer', 0)
  })
  if (!response.ok) throw apiError(await response.json().catch(() => undefined), response.status)
  return response
}

/** Events of a route that streams JSON; one that tells an error is thrown. */
export async function* stream<T>(path: string, options: RequestOptions): AsyncGenerator<T> {
  const response = await request(path, options)
  for await (const data of readEvents(response.body!)) {
    if (data === '[DONE]') return
    const event = JSON.parse(data) as T & { error?: unknown }
    if (event.error !== undefined) throw apiError(event, response.status)
    yield event as Awaited<T>
  }
}
