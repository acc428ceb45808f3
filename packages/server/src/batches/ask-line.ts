import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'

/** Routes that answer in one piece with one POST. */
export const batchRoutes = [
  '/v1/chat/completions',
  '/v1/completions',
  '/v1/responses',
  '/v1/embeddings',
  '/v1/classify',
  '/v1/score',
  '/v1/rerank',
] as const

/** What a line of a batch asks for. */
export interface LineRequest {
  readonly url: string
  readonly body: Readonly<Record<string, unknown>>
}

/** What the server says to it. */
export interface LineReply {
  readonly status: number
  readonly requestId: string
  readonly body: Readonly<Record<string, unknown>>
}

export interface LineAsker {
  /** The server without its network. */
  readonly fetch: (request: Request) => Response | Promise<Response>
  /** Ends the request. */
  readonly signal: AbortSignal
  /** Times that a request is made again which found no room (429), and one that found no engine or lost it (503). */
  readonly retries?: { readonly busy: number; readonly lost: number }
}

/** Milliseconds before a request is made again; the last one stands for all that follow. */
const pauses = [100, 200, 400, 800, 1600, 3200, 5000]

/** Puts one line to the server's own route, with its checks and its errors; what found no room is asked again. */
export async function askLine(
  { url, body }: LineRequest,
  { fetch, signal, retries = { busy: 8, lost: 8 } }: LineAsker,
): Promise<LineReply> {
  const requestId = `batch_req_${randomBytes(16).toString('hex')}`
  if (body['stream'] === true) return refusedLine(requestId, 'stream: a batch has whole answers; remove it', 'stream')
  const text = JSON.stringify(body)
  const headers = { 'content-type': 'application/json', 'x-request-id': requestId }
  for (let numBusy = 0, numLost = 0; ;) {
    const request = new Request(`http://localhost${url}`, { method: 'POST', headers, body: text, signal })
    const response = await fetch(request)
    const { status } = response
    const reply = { status, requestId, body: (await response.json()) as LineReply['body'] }
    const mayRetry = status === 429 ? numBusy++ < retries.busy : status === 503 && numLost++ < retries.lost
    if (!mayRetry || signal.aborted) return reply
    const wait = pauses[Math.min(numBusy + numLost, pauses.length) - 1]
    await pause(wait, undefined, { signal, ref: false }).catch(() => {})
    if (signal.aborted) return reply
  }
}

/** A line that cannot be asked. */
export function refusedLine(requestId: string, message: string, param: string): LineReply {
  return { status: 400, requestId, body: { error: { message, type: 'invalid_request_error', param, code: null } } }
}

/** Lets `work` have the items, as many at once as `width` says, until there are no more or `signal` comes. */
export async function inParallel<T>(
  items: AsyncGenerator<T>,
  width: number,
  signal: AbortSignal,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const worker = async (): Promise<void> => {
    for await (const item of items) {
      if (signal.aborted) return
      await work(item)
      if (signal.aborted) return
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
}
