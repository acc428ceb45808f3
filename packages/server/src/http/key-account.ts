import { SlipwayError } from '@slipway/tensor'
import { TokenBucket } from './token-bucket.ts'

export interface KeyLimits {
  readonly requestsPerMinute?: number | undefined
  readonly tokensPerMinute?: number | undefined
  readonly maxConcurrentRequests?: number | undefined
}

/** What the holder of one key has used of its limits. */
export class KeyAccount {
  /** For the log. */
  readonly name: string
  readonly #requests: TokenBucket | undefined
  readonly #tokens: TokenBucket | undefined
  readonly #maxConcurrent: number
  #numOpen = 0

  /** `clock` counts milliseconds. */
  constructor(name: string, limits: KeyLimits, clock: () => number = () => performance.now()) {
    const { requestsPerMinute, tokensPerMinute, maxConcurrentRequests = Infinity } = limits
    this.name = name
    this.#requests = requestsPerMinute === undefined ? undefined : new TokenBucket(requestsPerMinute, clock)
    this.#tokens = tokensPerMinute === undefined ? undefined : new TokenBucket(tokensPerMinute, clock)
    this.#maxConcurrent = maxConcurrentRequests
  }

  /** Begins a request, or throws 429; the result ends it. Tokens are paid when they are known, so they may be overdrawn. */
  begin(): () => void {
    if (this.#numOpen >= this.#maxConcurrent)
      throw exceeded(`${this.#numOpen} requests of this key are under way, which is its limit`, 1)
    if (this.#requests && this.#requests.level < 1)
      throw exceeded(
        `this key may send ${this.#requests.perMinute} requests per minute`,
        this.#requests.secondsUntil(1),
      )
    if (this.#tokens && this.#tokens.level < 1)
      throw exceeded(`this key may use ${this.#tokens.perMinute} tokens per minute`, this.#tokens.secondsUntil(1))
    this.#requests?.use(1)
    this.#numOpen++
    let isOpen = true
    return () => {
      if (isOpen) this.#numOpen--
      isOpen = false
    }
  }

  charge(numTokens: number): void {
    this.#tokens?.use(numTokens)
  }

  /** What is left, in the headers of OpenAI. */
  headers(): Record<string, string> {
    return { ...headersOf('requests', this.#requests), ...headersOf('tokens', this.#tokens) }
  }
}

function headersOf(what: string, bucket: TokenBucket | undefined): Record<string, string> {
  if (!bucket) return {}
  return {
    [`x-ratelimit-limit-${what}`]: String(bucket.perMinute),
    [`x-ratelimit-remaining-${what}`]: String(Math.max(0, Math.floor(bucket.level))),
    [`x-ratelimit-reset-${what}`]: duration(bucket.secondsUntil(bucket.perMinute)),
  }
}

/** As OpenAI writes times: `120ms`, `1.5s`, `6m0s`. */
function duration(seconds: number): string {
  if (seconds < 1) return `${Math.ceil(seconds * 1000)}ms`
  if (seconds < 60) return `${Number(seconds.toFixed(3))}s`
  return `${Math.floor(seconds / 60)}m${Math.floor(seconds % 60)}s`
}

function exceeded(message: string, seconds: number): SlipwayError {
  const retryAfter = Math.max(1, Math.ceil(seconds))
  return new SlipwayError('overload', `${message}; try again in ${retryAfter} s`, { retryAfter })
}
