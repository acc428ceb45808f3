import { performance } from 'node:perf_hooks'
import { median, type LLM, type ModelInfo } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'

/** `sequences` requests at once, each of `prompt` random tokens, each wanting `tokens` new ones. */
export interface RateCase {
  readonly prompt: number
  readonly tokens: number
  readonly sequences: number
}

/** What one round saw. Times are those of the caller, with tokens turned into text. */
export interface Rates {
  /** Prompt tokens of all sequences per second, until each had its first new token. */
  readonly prefill: number
  /** New tokens of all sequences per second while all of them decode; null when they never all do. */
  readonly decode: number | null
  /** Milliseconds to the first token; median of the sequences. */
  readonly timeToFirstToken: number
  /** Milliseconds from one token to the next, over a whole answer; median of the sequences. */
  readonly timePerOutputToken: number
}

export interface CaseRates extends RateCase, Rates {
  /** The figures above are medians of these. */
  readonly rounds: readonly Rates[]
}

/** Measures the cases in turns, `rounds` times after one round that warms up. */
export async function measureRates(llm: LLM, cases: readonly RateCase[], rounds: number): Promise<CaseRates[]> {
  for (const one of cases) checkCase(one, llm.info)
  const results = cases.map((): Rates[] => [])
  for (let round = 0; round <= rounds; round++)
    for (const [i, one] of cases.entries()) {
      const rates = ratesOf(one, await arrivals(llm, one, round))
      if (round > 0) results[i]!.push(rates)
    }
  return cases.map((one, i) => ({ ...one, ...medians(results[i]!), rounds: results[i]! }))
}

/** What does not fit would be cut, queued or preempted, and the figures would be of something else. */
function checkCase(
  { prompt, tokens, sequences }: RateCase,
  { maxModelLen, kvCacheTokens, blockSize }: ModelInfo,
): void {
  const each = prompt + tokens
  if (each > maxModelLen)
    throw new SlipwayError(
      'request',
      `a prompt of ${prompt} and ${tokens} new tokens are more than the ${maxModelLen} that the model takes; lower them`,
    )
  const needed = sequences * Math.ceil(each / blockSize) * blockSize
  if (needed > kvCacheTokens)
    throw new SlipwayError(
      'request',
      `${sequences} sequences of ${each} tokens need a KV cache of ${needed}, it holds ${kvCacheTokens}; ` +
        'raise --kv-cache-memory or lower --batch',
    )
}

/** Milliseconds after the start at which the tokens of each sequence came. */
function arrivals(llm: LLM, { prompt, tokens, sequences }: RateCase, round: number): Promise<number[][]> {
  // other prompts in every round: nothing can be left over from the last one
  const prompts = Array.from({ length: sequences }, (_, s) =>
    randomTokens(prompt, llm.info.vocabSize, 1 + s + round * sequences),
  )
  const params = { temperature: 0, maxTokens: tokens, ignoreEos: true, n: 1, logitBias: {}, minTokens: 0 }
  const start = performance.now()
  return Promise.all(
    prompts.map(async (ids) => {
      const times: number[] = []
      for await (const event of llm.submit(ids, params))
        if (event.type === 'delta') for (const _ of event.tokenIds) times.push(performance.now() - start)
      return times
    }),
  )
}

/** The rates that follow from the arrivals of each sequence's tokens, in milliseconds. */
export function ratesOf({ prompt, tokens, sequences }: RateCase, arrived: readonly (readonly number[])[]): Rates {
  const from = Math.max(...arrived.map((times) => times[0]!))
  const to = Math.min(...arrived.map((times) => times.at(-1)!))
  const between = arrived.flat().filter((time) => time > from && time <= to).length
  return {
    prefill: (1000 * sequences * prompt) / from,
    decode: to > from ? (1000 * between) / (to - from) : null,
    timeToFirstToken: median(arrived.map((times) => times[0]!)),
    timePerOutputToken: median(arrived.map((times) => (times.at(-1)! - times[0]!) / (tokens - 1))),
  }
}

function medians(rounds: readonly Rates[]): Rates {
  const of = (name: keyof Rates): number[] => rounds.flatMap((rates) => rates[name] ?? [])
  const decode = of('decode')
  return {
    prefill: median(of('prefill')),
    decode: decode.length > 0 ? median(decode) : null,
    timeToFirstToken: median(of('timeToFirstToken')),
    timePerOutputToken: median(of('timePerOutputToken')),
  }
}

/** xorshift32 (Marsaglia 2003): the same seed gives the same tokens. */
function randomTokens(count: number, vocabSize: number, seed: number): number[] {
  let state = Math.imul(seed, 0x9e3779b1) | 1
  return Array.from({ length: count }, () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % vocabSize
  })
}
