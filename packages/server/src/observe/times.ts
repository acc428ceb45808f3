import type { RequestRecord } from '@slipway/engine'

/** Where the time of a generation went, in seconds. What it did not come to is left out. */
export interface PhaseTimes {
  /** From submission until the engine began to compute. */
  readonly queued?: number
  /** From there until the engine had the first token. */
  readonly prefill?: number
  /** From submission until the first token was here. */
  readonly firstToken?: number
  /** From the first token to the last. */
  readonly decode?: number
  /** From submission to the end. */
  readonly total: number
  /** From the begin of computing to the last token. */
  readonly inference?: number
  /** Mean time between two tokens. */
  readonly perToken?: number
}

export function timesOf({ timing, usage, finishReasons }: RequestRecord): PhaseTimes {
  const { submittedAt, firstTokenAt, lastTokenAt, endedAt, queuedMs, prefillMs } = timing
  const total = ((endedAt ?? performance.now()) - submittedAt) / 1000
  if (firstTokenAt === undefined || lastTokenAt === undefined) return { total }
  const decode = (lastTokenAt - firstTokenAt) / 1000
  const queued = (queuedMs ?? 0) / 1000
  const perCompletion = usage.completionTokens / finishReasons.length
  return {
    queued,
    prefill: (prefillMs ?? 0) / 1000,
    firstToken: (firstTokenAt - submittedAt) / 1000,
    decode,
    inference: (lastTokenAt - submittedAt) / 1000 - queued,
    total,
    ...(perCompletion > 1 && { perToken: decode / (perCompletion - 1) }),
  }
}
