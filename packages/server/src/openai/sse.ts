import type { ServerResponse } from 'node:http'
import { DirectResponse } from '../http/direct-response.ts'
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
export function sseResponse(chunks: AsyncIterable<unknown>, options: SseOptions): Response {
  return new DirectResponse(
    {
      writeTo: (outgoing) => void writeEvents(chunks, options, outgoing),
      toBody: () => toStream(chunks, options),
    },
    {
      headers: {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        // asks proxies of the nginx family not to collect the stream
        'x-accel-buffering': 'no',
      },
    },
  )
}

function toEvent(value: unknown, isTyped: boolean | undefined): string {
  const name = isTyped ? `event: ${(value as TypedEvent).type}\n` : ''
  return `${name}data: ${JSON.stringify(value)}\n\n`
}

function toPing({ ping }: SseOptions): string {
  return ping ? toEvent(ping, true) : ': ping\n\n'
}

/** To a socket: events that come within one turn of the event loop leave in one write. */
async function writeEvents(
  chunks: AsyncIterable<unknown>,
  options: SseOptions,
  outgoing: ServerResponse,
): Promise<void> {
  const { heartbeatSeconds, onEnd, toError, isTyped } = options
  outgoing.flushHeaders()
  let isLeft = outgoing.destroyed
  let wake: (() => void) | undefined
  const heartbeat = setTimeout(() => {
    // who does not take what is there needs no sign of life
    if (wake === undefined) outgoing.write(toPing(options))
    heartbeat.refresh()
  }, heartbeatSeconds * 1000)
  outgoing.on('drain', () => wake?.())
  outgoing.once('close', () => {
    isLeft = true
    clearTimeout(heartbeat)
    onEnd()
    wake?.()
  })
  const send = async (text: string): Promise<void> => {
    heartbeat.refresh()
    if (outgoing.write(text) || isLeft) return
    await new Promise<void>((resolve) => (wake = resolve))
    wake = undefined
  }
  try {
    if (!isLeft)
      for await (const chunk of chunks) {
        await send(toEvent(chunk, isTyped))
        if (isLeft) break
      }
    if (!isTyped && !isLeft) await send('data: [DONE]\n\n')
  } catch (error) {
    // the end of a generation that the client has left is no news
    if (!isLeft) await send(toEvent(toError(error), isTyped))
  }
  clearTimeout(heartbeat)
  outgoing.end()
  onEnd()
}

/** As a web stream. */
function toStream(chunks: AsyncIterable<unknown>, options: SseOptions): ReadableStream<Uint8Array> {
  const { heartbeatSeconds, onEnd, toError, isTyped } = options
  const source = chunks[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  let next: Promise<IteratorResult<unknown>> | undefined
  let isLeft = false
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const send = (text: string): void => controller.enqueue(encoder.encode(text))
        try {
          next ??= source.next()
          const result = await firstOf(next, heartbeatSeconds * 1000)
          if (result === undefined) return send(toPing(options))
          next = undefined
          if (!result.done) return send(toEvent(result.value, isTyped))
          if (!isTyped) send('data: [DONE]\n\n')
        } catch (error) {
          // the end of a generation that the client has left is no news
          if (isLeft) return
          send(toEvent(toError(error), isTyped))
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
