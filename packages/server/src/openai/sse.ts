import type { ApiErrorBody } from '../http/error-schema.ts'

export interface SseOptions {
  readonly heartbeatSeconds: number
  /** Called once when nothing more will be read: at the end, on an error, or when the client goes. */
  readonly onEnd: () => void
  /** The error object for a stream that breaks. */
  readonly toError: (error: unknown) => ApiErrorBody | TypedEvent
  /** Chunks that say their `type` are named by it, and no `[DONE]` ends them. */
  readonly isTyped?: boolean
  /** What a quiet stream sends; default a comment. */
  readonly ping?: TypedEvent
}

export interface TypedEvent {
  readonly type: string
}

/**
 * Server-sent events, one for each chunk, then `[DONE]` unless they are typed. A chunk is asked for only when the socket
 * takes more, and a quiet stream sends comments so that nobody in between takes it for dead.
 */
export function sseResponse(
  chunks: AsyncIterable<unknown>,
  { heartbeatSeconds, onEnd, toError, isTyped = false, ping }: SseOptions,
): Response {
  const source = chunks[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  const event = (value: unknown): string => {
    const name = isTyped ? `event: ${(value as TypedEvent).type}\n` : ''
    return `${name}data: ${JSON.stringify(value)}\n\n`
  }
  let next: Promise<IteratorResult<unknown>> | undefined
  let isLeft = false
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const send = (text: string): void => controller.enqueue(encoder.encode(text))
        try {
          next ??= source.next()
          const result = await firstOf(next, heartbeatSeconds * 1000)
          if (result === undefined) return send(ping ? event(ping) : ': ping\n\n')
          next = undefined
          if (!result.done) return send(event(result.value))
          if (!isTyped) send('data: [DONE]\n\n')
        } catch (error) {
          // the end of a generation that the client has left is no news
          if (isLeft) return
          send(event(toError(error)))
        }
        controller.close()
        onEnd()
      },
      cancel() {
        isLeft = true
        onEnd()
      },
    },
    // nothing is made ahead of the reader
    { highWaterMark: 0 },
  )
  return new Response(body, {
    headers: {
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      // asks proxies of the nginx family not to collect the stream
      'x-accel-buffering': 'no',
    },
  })
}

/** What the promise gives, or undefined when it takes longer. */
async function firstOf<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), milliseconds)))
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
