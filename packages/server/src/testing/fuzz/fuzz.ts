import { Agent } from 'node:http'
import type { OpenApi, Operation } from './document.ts'
import { exchange } from './exchange.ts'
import { Judge } from './judge.ts'
import { Random } from './random.ts'
import { operationsOf, requestTo, type FuzzRequest, type Keys } from './requests.ts'
import { Values, type Hints } from './values.ts'

export interface FuzzOptions {
  readonly url: string
  readonly document: OpenApi
  readonly keys: Keys
  readonly hints: Hints
  /** Which operations; by default all. */
  readonly tags?: readonly string[]
  readonly seed: number
  readonly numRequests: number
  readonly concurrency: number
  /** Milliseconds that an answer may take. */
  readonly limit: number
  /** Undoes what a command did; called when nothing else is under way. */
  readonly restore: () => Promise<void>
}

export interface FuzzResult {
  /** How often each operation gave each status. */
  readonly statuses: ReadonlyMap<string, ReadonlyMap<number, number>>
  /** Answers that are not as documented, each with the request; empty. */
  readonly faults: readonly string[]
  readonly slowest: { readonly milliseconds: number; readonly request: string }
}

/** Commands stop everything else, so they come one at a time between rounds. */
const perRound = 40

/** Sends requests made from an OpenAPI document and holds the answers against it. The same seed gives the same requests. */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { url, document, seed, numRequests, concurrency, limit, restore } = options
  const isWanted = ({ tags: [tag = ''] }: Operation): boolean => options.tags?.includes(tag) ?? true
  const judge = new Judge(document)
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency })
  const commands = operationsOf(document, (one) => isWanted(one) && one.tags.includes('control'))
  const others = operationsOf(document, (one) => isWanted(one) && !one.tags.includes('control'))
  const wanted = others.flatMap((one) => Array.from({ length: one.operation.requestBody ? 4 : 1 }, () => one))
  const statuses = new Map<string, Map<number, number>>()
  const faults: string[] = []
  let slowest = { milliseconds: 0, request: '' }

  const one = async (number: number, from: typeof commands): Promise<void> => {
    // each request has a seed of its own, so that one can be sent again alone
    const random = new Random(seed * 1_000_003 + number)
    const tools = { random, values: new Values(random, document, options.hints), keys: options.keys }
    const asked = requestTo(random.pick(from), tools)
    const started = performance.now()
    try {
      const answer = await exchange(url, agent, asked, limit)
      const { operationId } = asked.operation
      const counts = statuses.get(operationId) ?? new Map<number, number>()
      statuses.set(operationId, counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1))
      const found = judge.faultsOf(asked, answer)
      if (answer.status >= 500) found.push(`status ${answer.status}`)
      if (found.length > 0) faults.push(`${told(number, asked)}\n  ${found[0]}\n  ${answer.text.slice(0, 400)}`)
    } catch (error) {
      faults.push(`${told(number, asked)}\n  ${String(error)}`)
    }
    const milliseconds = performance.now() - started
    if (milliseconds > slowest.milliseconds) slowest = { milliseconds, request: told(number, asked) }
  }

  for (let begin = 0; begin < numRequests; begin += perRound) {
    const end = Math.min(begin + perRound, numRequests)
    let next = begin
    const worker = async (): Promise<void> => {
      while (next < end - 2) await one(next++, wanted)
    }
    await Promise.all(Array.from({ length: concurrency }, worker))
    for (; next < end; next++) {
      await one(next, commands.length > 0 ? commands : wanted)
      await restore()
    }
  }
  agent.destroy()
  return { statuses, faults, slowest }
}

function told(number: number, { method, path, headers, body }: FuzzRequest): string {
  const { authorization: _, ...shown } = headers
  return `#${number} ${method} ${path.slice(0, 200)} ${JSON.stringify(shown).slice(0, 200)}\n  ${body?.toString('utf8').slice(0, 600) ?? ''}`
}
