import { SlipwayError } from '@slipway/tensor'

/** The server that is measured, and how it is asked. */
export interface Target {
  readonly url: string
  readonly model: string
  readonly endpoint: 'chat' | 'completions'
  readonly apiKey: string | undefined
  readonly outputLen: number
  readonly ignoreEos: boolean
}

export interface Message {
  readonly role: 'user' | 'assistant'
  readonly content: string
}

/** What a client saw of one request; times are milliseconds on one clock. */
export interface RequestTrace {
  readonly start: number
  /** When text came, piece by piece. */
  readonly arrivals: readonly number[]
  readonly promptTokens: number
  readonly newTokens: number
  readonly error: string | undefined
  readonly text: string
}

/** Sends one streaming request and notes when what came. Errors are part of the result. */
export async function traceRequest(target: Target, messages: readonly Message[]): Promise<RequestTrace> {
  const arrivals: number[] = []
  let text = ''
  let usage: Usage | undefined
  let error: string | undefined
  const start = performance.now()
  try {
    for await (const chunk of chunksOf(await post(target, messages))) {
      const now = performance.now()
      if (chunk.error) throw new Error(chunk.error.message)
      const piece = pieceOf(chunk)
      if (piece !== '') arrivals.push(now)
      text += piece
      usage = chunk.usage ?? usage
    }
    if (arrivals.length === 0) error = 'the answer is empty'
  } catch (thrown) {
    error = messageOf(thrown)
  }
  // servers without usage: one token per piece
  const newTokens = usage?.completion_tokens ?? arrivals.length
  return { start, arrivals, promptTokens: usage?.prompt_tokens ?? 0, newTokens, error, text }
}

async function post(target: Target, messages: readonly Message[]): Promise<Response> {
  const isChat = target.endpoint === 'chat'
  const body = {
    model: target.model,
    ...(isChat ? { messages } : { prompt: messages.map(({ content }) => content).join('\n') }),
    max_tokens: target.outputLen,
    temperature: 0,
    stream: true,
    stream_options: { include_usage: true },
    ...(target.ignoreEos && { ignore_eos: true }),
  }
  const response = await fetch(`${target.url}/v1/${isChat ? 'chat/completions' : 'completions'}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...authorization(target.apiKey) },
    body: JSON.stringify(body),
  })
  if (response.ok) return response
  throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 300)}`)
}

interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
}

interface Chunk {
  readonly choices?: readonly {
    readonly text?: string
    readonly delta?: {
      readonly content?: string | null
      readonly reasoning_content?: string | null
      readonly reasoning?: string | null
    }
  }[]
  readonly usage?: Usage | null
  readonly error?: { readonly message: string }
}

function pieceOf({ choices }: Chunk): string {
  const { text, delta } = choices?.[0] ?? {}
  return text ?? `${delta?.reasoning_content ?? delta?.reasoning ?? ''}${delta?.content ?? ''}`
}

/** The objects of an event stream. */
async function* chunksOf(response: Response): AsyncGenerator<Chunk & { readonly usage?: Usage }> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of response.body as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split(/\r?\n/)
    rest = lines.pop()!
    for (const line of lines) {
      if (!line.startsWith('data:')) continue
      const data = line.slice(5).trim()
      if (data === '[DONE]') return
      yield JSON.parse(data) as Chunk & { readonly usage?: Usage }
    }
  }
}

/** The first model of a server; a `request` error when it cannot be asked. */
export async function firstModel(url: string, apiKey: string | undefined): Promise<string> {
  try {
    const response = await fetch(`${url}/v1/models`, { headers: authorization(apiKey) })
    if (!response.ok) throw new Error(`status ${response.status}`)
    const { data } = (await response.json()) as { readonly data: readonly { readonly id: string }[] }
    return data[0]!.id
  } catch (error) {
    throw new SlipwayError(
      'request',
      `--url: ${url}/v1/models does not answer: ${messageOf(error)}; name the model too`,
    )
  }
}

function authorization(apiKey: string | undefined): Record<string, string> {
  return apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
}

function messageOf(error: unknown): string {
  const { message, cause } = error as Error
  return cause instanceof Error ? `${message}: ${cause.message}` : message
}
