import { SlipwayError } from '@slipway/tensor'
import { GrammarThread } from './grammar-thread.ts'
import type { GrammarSetup, MatcherRequest, NextTokens } from './protocol.ts'

/** One text that follows a grammar, as its owner sees it: masks are made elsewhere and arrive. */
export class RemoteMatcher {
  readonly request: MatcherRequest
  readonly tokens: number[] = []
  /** What may come next; undefined while it is computed. */
  next: NextTokens | undefined
  /** Why there is no next token; the text cannot go on. */
  error: SlipwayError | undefined
  /** True when `next` takes longer than its owner is willing to wait; a first mask always does. */
  isLate = true

  constructor(request: MatcherRequest) {
    this.request = request
  }
}

/**
 * Makes masks in a thread of their own, so that whoever computes tokens never waits longer than it wants to. A text
 * that takes too long ends with an error; the thread starts again and the other texts are followed anew.
 */
export class Matchers {
  readonly #thread: GrammarThread
  readonly #open = new Map<number, RemoteMatcher>()
  readonly #ids = new Map<RemoteMatcher, number>()
  /** Ids in the order in which answers come. */
  #pending: number[] = []
  readonly #waiters = new Set<() => void>()
  #numMatchers = 0

  constructor(setup: GrammarSetup, { limitMs = 2000 }: { readonly limitMs?: number } = {}) {
    this.#thread = new GrammarThread(setup, limitMs, {
      onReport: (report) => {
        this.#pending.shift()
        const matcher = 'id' in report ? this.#open.get(report.id) : undefined
        if (matcher && report.type === 'next') {
          matcher.next = report.next
          matcher.isLate = false
        } else if (matcher && report.type === 'refused') matcher.error = SlipwayError.fromWire(report.error)
        this.#wake()
      },
      onRestart: (error) => {
        const guilty = this.#open.get(this.#pending[0] ?? -1)
        if (guilty) guilty.error = error
        this.#pending = []
        for (const [id, matcher] of this.#open) if (!matcher.error) this.#begin(id, matcher)
        this.#wake()
      },
      onFailure: (error) => {
        this.#pending = []
        for (const matcher of this.#open.values()) matcher.error = error
        this.#wake()
      },
    })
  }

  get numOpen(): number {
    return this.#open.size
  }

  /** Begins to follow a text. */
  open(request: MatcherRequest): RemoteMatcher {
    const matcher = new RemoteMatcher(request)
    const id = this.#numMatchers++
    this.#open.set(id, matcher)
    this.#ids.set(matcher, id)
    this.#begin(id, matcher)
    return matcher
  }

  #begin(id: number, matcher: RemoteMatcher): void {
    matcher.next = undefined
    matcher.isLate = true
    this.#pending.push(id)
    this.#thread.send({ type: 'open', id, request: matcher.request, tokens: matcher.tokens })
  }

  /** Goes on with a token that `next` allowed. */
  accept(matcher: RemoteMatcher, token: number): void {
    const id = this.#ids.get(matcher)
    matcher.tokens.push(token)
    matcher.next = undefined
    if (id === undefined || matcher.error) return
    this.#pending.push(id)
    this.#thread.send({ type: 'accept', id, token })
  }

  close(matcher: RemoteMatcher): void {
    const id = this.#ids.get(matcher)
    if (id === undefined) return
    this.#ids.delete(matcher)
    this.#open.delete(id)
    this.#thread.send({ type: 'close', id })
  }

  /** Takes in what has come since the event loop last turned. */
  poll(): void {
    this.#thread.poll()
  }

  /** Resolves when any matcher has changed, or after `ms`. */
  async changed(ms: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(done)
        resolve()
      }
      const timer = setTimeout(done, ms)
      this.#waiters.add(done)
    })
  }

  async end(): Promise<void> {
    await this.#thread.close()
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter()
  }
}
