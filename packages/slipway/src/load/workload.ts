import type { Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { arrivalTimes, Random } from './random.ts'

export const workloads = ['random', 'shared-prefix', 'multi-turn', 'bursty'] as const

export interface WorkloadOptions {
  readonly workload: (typeof workloads)[number]
  readonly numPrompts: number
  /** Tokens of a prompt, of one turn of it, or of what follows the shared prefix. */
  readonly inputLen: number
  readonly prefixLen: number
  readonly turns: number
  /** Requests per second; undefined: all at once. */
  readonly requestRate: number | undefined
  readonly burstiness: number
  readonly seed: number
}

/** What one client says, turn by turn, from `arrival` on, in milliseconds after the begin. */
export interface Session {
  readonly arrival: number
  readonly turns: readonly string[]
}

/** Sessions that are the same for the same options. Without a tokenizer, lengths are words. */
export function sessionsOf(options: WorkloadOptions, tokenizer?: Tokenizer): Session[] {
  const { workload, numPrompts, inputLen, prefixLen, requestRate, burstiness, seed } = options
  const random = new Random(seed)
  const arrivals = arrivalTimes(numPrompts, requestRate, burstiness, new Random(seed + 1))
  const prefix = workload === 'shared-prefix' ? `${textOf(prefixLen, random, tokenizer)} ` : ''
  const numTurns = workload === 'multi-turn' ? options.turns : 1
  return arrivals.map((arrival) => ({
    arrival,
    turns: Array.from({ length: numTurns }, () => prefix + textOf(inputLen, random, tokenizer)),
  }))
}

/** Short words that most vocabularies have as one token each. */
const words = (
  'time year people way day man thing woman life child world school state family student group country problem hand ' +
  'part place case week company system program question work number night point home water room mother area money story ' +
  'fact month lot right study book eye job word business issue side kind head house service friend father power hour game'
).split(' ')

/** Random text of that many tokens, as the tokenizer counts them; without one, of that many words. */
function textOf(length: number, random: Random, tokenizer: Tokenizer | undefined): string {
  const chosen = Array.from({ length }, () => words[random.below(words.length)]!)
  if (!tokenizer) return chosen.join(' ')
  const count = (): number => tokenizer.encode(chosen.join(' '), { addSpecialTokens: false }).length
  // words may be several tokens: as many as fit, and letters for what is left
  let fitting = Math.max(1, Math.floor((length * length) / count()))
  chosen.length = Math.min(length, fitting)
  while (count() > length && chosen.length > 1) chosen.length = --fitting
  for (let tries = 0; count() < length && tries < 4 * length; tries++) {
    chosen.push('a')
    if (count() > length) chosen.pop()
    if (count() < length) chosen[chosen.length - 1] += 'a'
    if (count() > length) chosen[chosen.length - 1] = chosen.at(-1)!.slice(0, -1)
  }
  return chosen.join(' ')
}

/** Throws for options that the workload has no use for. */
export function checkWorkload(given: Readonly<Record<string, unknown>>, workload: string): void {
  const uses: Readonly<Record<string, string>> = { prefixLen: 'shared-prefix', turns: 'multi-turn' }
  for (const [name, only] of Object.entries(uses))
    if (given[name] !== undefined && workload !== only)
      throw new SlipwayError('request', `--${name === 'turns' ? name : 'prefix-len'}: it belongs to --workload ${only}`)
  if (given['requestRate'] !== undefined) return
  if (workload === 'bursty')
    throw new SlipwayError('request', '--workload bursty: bursts need a mean rate; give --request-rate')
  if (given['burstiness'] !== undefined)
    throw new SlipwayError('request', '--burstiness: it needs --request-rate, without which all requests come at once')
}
