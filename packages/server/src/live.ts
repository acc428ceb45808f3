import { setTimeout as after } from 'node:timers/promises'
import type { EngineSnapshot, LLM } from '@slipway/engine'
import type { Context } from 'hono'
import { answerTo, type ServerContext } from './context.ts'
import type { ServerEnv } from './http/request-id.ts'
import { sseResponse } from './openai/sse.ts'

/** Milliseconds from one snapshot to the next. */
const interval = 500

/** What the engine does, for those who look on. All of them share one snapshot per interval; without any there is none. */
export class LiveFeed {
  readonly #llm: Pick<LLM, 'snapshot' | 'state'>
  readonly #closing = new AbortController()
  #next: Promise<EngineSnapshot> | undefined
  #lastTime = -Infinity

  constructor(llm: Pick<LLM, 'snapshot' | 'state'>) {
    this.#llm = llm
  }

  /** The next snapshot: at once if the last one is old enough. */
  #snapshot(): Promise<EngineSnapshot> {
    return (this.#next ??= this.#take().finally(() => (this.#next = undefined)))
  }

  async #take(): Promise<EngineSnapshot> {
    const wait = this.#lastTime + interval - performance.now()
    if (wait > 0) await after(wait, undefined, { signal: this.#closing.signal, ref: false })
    const snapshot = await this.#llm.snapshot()
    this.#lastTime = performance.now()
    return snapshot
  }

  /** Snapshots until the feed is closed or the engine ends: who asks again is told why. */
  async *snapshots(): AsyncGenerator<EngineSnapshot> {
    for (;;) {
      const snapshot = await this.#snapshot().catch((error: unknown) => {
        if (!this.#closing.signal.aborted && this.#llm.state === 'ready') throw error
      })
      if (!snapshot) return
      yield snapshot
    }
  }

  /** Ends all streams. */
  close(): void {
    this.#closing.abort()
  }
}

/** GET /v1/engine/events: a snapshot of the engine every half second, as server-sent events. */
export function getEngineEvents(c: Context<ServerEnv>, context: ServerContext): Response {
  return sseResponse(context.live.snapshots(), {
    heartbeatSeconds: context.options.heartbeatSeconds,
    onEnd: () => {},
    toError: (error) => answerTo(error, context, c.get('requestId')).body,
  })
}
