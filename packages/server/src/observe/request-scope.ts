import type { RequestRecord } from '@slipway/engine'
import type { KeyAccount } from '../http/key-account.ts'

/** One request over HTTP or gRPC, from its head until nothing more is made for it: a stream goes on after its handler has returned. */
export class RequestScope {
  readonly requestId: string
  /** That of HTTP, or GRPC. */
  readonly method: string
  /** By performance.now(). */
  readonly startedAt = performance.now()
  /** The route that answers, as it is declared; paths of unknown routes are not told apart. */
  route = 'other'
  /** Whose key was shown. */
  account: KeyAccount | undefined
  /** What the engine was given for this request, and has ended. */
  readonly streams: RequestRecord[] = []
  #status = 0
  #numHolders = 1
  readonly #listeners: (() => void)[] = []

  constructor(requestId: string, method: string) {
    this.requestId = requestId
    this.method = method
  }

  get status(): number {
    return this.#status
  }

  /** Keeps the request open; the result lets go of it. */
  hold(): () => void {
    this.#numHolders++
    let isHeld = true
    return () => {
      if (isHeld) this.#release()
      isHeld = false
    }
  }

  /** Called once, when nobody holds the request any more. */
  onEnd(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** The handler has returned. */
  answered(status: number): void {
    this.#status = status
    this.#release()
  }

  /** What the engine was given for it has ended. */
  add(stream: RequestRecord): void {
    this.streams.push(stream)
    const { promptTokens, completionTokens } = stream.usage
    this.account?.charge(promptTokens + completionTokens)
  }

  #release(): void {
    if (--this.#numHolders > 0) return
    for (const listener of this.#listeners) listener()
  }
}
