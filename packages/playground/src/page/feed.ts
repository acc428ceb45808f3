import { ApiError, stream } from './api.ts'
import type { Snapshot } from './figures.ts'

export interface FeedState {
  readonly kind: 'live' | 'loading' | 'offline' | 'locked'
  readonly text: string
}

/** Milliseconds until the server is asked again. */
const pause = 1500

/** Follows the engine while somebody looks; asks again when the server goes and comes. */
export class Feed {
  readonly #key: () => string
  readonly #onSnapshot: (snapshot: Snapshot) => void
  readonly #onState: (state: FeedState) => void
  #running: AbortController | undefined

  constructor(parts: {
    readonly key: () => string
    readonly onSnapshot: (snapshot: Snapshot) => void
    readonly onState: (state: FeedState) => void
  }) {
    this.#key = parts.key
    this.#onSnapshot = parts.onSnapshot
    this.#onState = parts.onState
  }

  start(): void {
    if (this.#running) return
    this.#running = new AbortController()
    void this.#follow(this.#running.signal)
  }

  stop(): void {
    this.#running?.abort()
    this.#running = undefined
  }

  async #follow(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        let isFirst = true
        for await (const snapshot of stream<Snapshot>('/v1/engine/events', { key: this.#key(), signal })) {
          if (isFirst) this.#onState({ kind: 'live', text: 'ready' })
          isFirst = false
          this.#onSnapshot(snapshot)
        }
      } catch (error) {
        if (signal.aborted) return
        this.#onState(await stateOf(error))
      }
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }
}

async function stateOf(error: unknown): Promise<FeedState> {
  const status = error instanceof ApiError ? error.status : 0
  if (status === 401 || status === 403) return { kind: 'locked', text: 'needs an API key' }
  if (status !== 503) return { kind: 'offline', text: 'no connection' }
  const response = await fetch('/health').catch(() => undefined)
  if (!response) return { kind: 'offline', text: 'no connection' }
  const health = (await response.json()) as { status: string; progress?: { done: number; total: number } }
  if (health.status !== 'loading') return { kind: 'offline', text: `the model is ${health.status}` }
  const { done = 0, total = 0 } = health.progress ?? {}
  return { kind: 'loading', text: total > 0 ? `loading, ${Math.floor((100 * done) / total)} %` : 'loading' }
}
