import { SlipwayError } from '@slipway/tensor'
import type { RequestTrace } from './client.ts'
import type { LoadRun } from './run-load.ts'

/** Milliseconds. */
export interface Spread {
  readonly mean: number
  readonly median: number
  readonly p90: number
  readonly p99: number
}

export const latencies = ['ttft', 'tpot', 'itl', 'e2e'] as const
export type Latency = (typeof latencies)[number]

/** Most milliseconds that a request may take to count as good. */
export type Goals = Readonly<Partial<Record<Exclude<Latency, 'itl'>, number>>>

export interface LoadFigures extends Readonly<Record<Latency, Spread | null>> {
  readonly duration: number
  readonly numRequests: number
  readonly numFailed: number
  readonly promptTokens: number
  readonly newTokens: number
  readonly requestsPerSecond: number
  readonly newTokensPerSecond: number
  readonly tokensPerSecond: number
  /** Requests per second that meet all goals; null where there are none. */
  readonly goodput: number | null
}

/**
 * Definitions are vLLM's: TTFT to the first text, TPOT the rest of the answer over its tokens but one, ITL from one piece
 * of text to the next, E2E to the last piece.
 */
export function figuresOf({ traces, duration }: LoadRun, goals: Goals = {}): LoadFigures {
  const good = traces.filter(({ error }) => error === undefined)
  const all = good.map(latenciesOf)
  const sum = (pick: (trace: RequestTrace) => number): number => good.reduce((total, trace) => total + pick(trace), 0)
  const [promptTokens, newTokens] = [sum((trace) => trace.promptTokens), sum((trace) => trace.newTokens)]
  const names = Object.keys(goals) as (keyof Goals)[]
  const meets = all.filter((one) => names.every((name) => (one[name] ?? 0) <= goals[name]!))
  return {
    duration,
    numRequests: traces.length,
    numFailed: traces.length - good.length,
    promptTokens,
    newTokens,
    requestsPerSecond: good.length / duration,
    newTokensPerSecond: newTokens / duration,
    tokensPerSecond: (promptTokens + newTokens) / duration,
    goodput: names.length === 0 ? null : meets.length / duration,
    ttft: spreadOf(all.map(({ ttft }) => ttft)),
    tpot: spreadOf(all.flatMap(({ tpot }) => tpot ?? [])),
    itl: spreadOf(all.flatMap(({ itl }) => itl)),
    e2e: spreadOf(all.map(({ e2e }) => e2e)),
  }
}

function latenciesOf({ start, arrivals, newTokens }: RequestTrace) {
  const [first, last] = [arrivals[0]!, arrivals.at(-1)!]
  return {
    ttft: first - start,
    tpot: newTokens > 1 ? (last - first) / (newTokens - 1) : undefined,
    itl: arrivals.slice(1).map((time, i) => time - arrivals[i]!),
    e2e: last - start,
  }
}

function spreadOf(values: readonly number[]): Spread | null {
  if (values.length === 0) return null
  const sorted = values.toSorted((a, b) => a - b)
  const mean = sorted.reduce((total, value) => total + value, 0) / sorted.length
  return { mean, median: quantile(sorted, 0.5), p90: quantile(sorted, 0.9), p99: quantile(sorted, 0.99) }
}

/** Between the two nearest values of a sorted list, as numpy's default does. */
function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1)
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!]
  return low + (high - low) * (at - Math.floor(at))
}

/** Goals as `ttft:500`, in milliseconds. */
export function parseGoals(texts: readonly string[]): Goals {
  return Object.fromEntries(
    texts.map((text) => {
      const [, name, limit] = /^(ttft|tpot|e2e):(\d+(?:\.\d+)?)$/.exec(text) ?? []
      if (name !== undefined) return [name, Number(limit)]
      throw new SlipwayError('request', `--goodput: "${text}" is no goal; write ttft:500, tpot:50 or e2e:2000, in ms`)
    }),
  )
}
