import { request, type Agent } from 'node:http'

// A long run of short requests against a server: most of them good, some left in the middle, some bad, some too large.
// Every answer is compared with what the same request gave alone, so a lost, doubled or mixed one is seen.

export interface SoakOptions {
  readonly url: string
  readonly model: string
  readonly numRequests: number
  readonly concurrency: number
  /** The server's `maxBodyBytes`. */
  readonly maxBodyBytes: number
  readonly agent: Agent
  /** Told after every hundredth part. */
  readonly onPart?: (numDone: number) => Promise<void>
}

export interface SoakResult {
  readonly good: number
  readonly left: number
  readonly bad: number
  readonly oversized: number
  /** Answers that were not what they should be; empty. */
  readonly faults: readonly string[]
  readonly seconds: number
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** Kinds of twenty requests in a row: 10 % are left, 5 % are bad, 5 % are too large. */
const kinds = Array.from({ length: 20 }, (_, i) =>
  i === 3 || i === 13 ? 'left' : i === 7 ? 'bad' : i === 17 ? 'oversized' : 'good',
)
const numBodies = 24

export async function soak(options: SoakOptions): Promise<SoakResult> {
  const { numRequests, concurrency } = options
  const bodies = Array.from({ length: numBodies }, (_, i) => bodyOf(i, options.model))
  const alone: string[] = []
  for (const body of bodies) alone.push(contentOf(await send(options, JSON.stringify(body)), body.stream))
  const counts = { good: 0, left: 0, bad: 0, oversized: 0 }
  const faults: string[] = []
  const started = performance.now()
  let next = 0
  let numDone = 0
  const one = async (i: number): Promise<void> => {
    const kind = kinds[i % kinds.length]!
    const which = (i * 7) % numBodies
    const body = bodies[which]!
    counts[kind]++
    if (kind === 'left') await send(options, JSON.stringify({ ...body, max_tokens: 60 }), (i * 13) % 40)
    else if (kind === 'bad') expectStatus(await send(options, badBody(i, body)), [400, 404], faults, i)
    else if (kind === 'oversized') {
      const text = i % 40 < 20 ? 'x'.repeat(options.maxBodyBytes) : 'one '.repeat(6000)
      const answer = await send(options, JSON.stringify({ ...body, messages: [{ role: 'user', content: text }] }))
      expectStatus(answer, [400, 413], faults, i)
    } else {
      const answer = await send(options, JSON.stringify(body))
      expectStatus(answer, [200], faults, i)
      if (answer?.status === 200 && contentOf(answer, body.stream) !== alone[which])
        faults.push(`request ${i}: another answer than alone: ${answer.text.slice(0, 300)}`)
    }
  }
  const client = async (): Promise<void> => {
    while (next < numRequests) {
      await one(next++)
      if (++numDone % Math.max(1, Math.floor(numRequests / 100)) === 0) await options.onPart?.(numDone)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, client))
  return { ...counts, faults, seconds: (performance.now() - started) / 1000 }
}

function bodyOf(i: number, model: string) {
  return {
    model,
    messages: [{ role: 'user', content: `${'Say something. '.repeat(1 + (i % 4))}${i}` }],
    temperature: 1,
    seed: i,
    max_tokens: 1 + (i % 6),
    n: i % 8 === 5 ? 2 : 1,
    ignore_eos: true,
    stream: i % 2 === 0,
  }
}

function badBody(i: number, body: object): string {
  const variants = [
    '{"model": ',
    JSON.stringify({ ...body, temperature: -1 }),
    JSON.stringify({ ...body, model: 'nobody' }),
    JSON.stringify({ ...body, no_such_parameter: 1 }),
    JSON.stringify({ ...body, guided_regex: '(' }),
    JSON.stringify({ ...body, messages: [] }),
  ]
  return variants[Math.floor(i / kinds.length) % variants.length]!
}

function expectStatus(answer: Answer | undefined, statuses: readonly number[], faults: string[], i: number): void {
  if (answer && statuses.includes(answer.status)) return
  faults.push(`request ${i}: status ${answer?.status}, not ${statuses.join(' or ')}: ${answer?.text.slice(0, 300)}`)
}

/** The texts of an answer. One that did not end exactly once shows itself here. */
function contentOf(answer: Answer | undefined, isStream: boolean): string {
  if (answer?.status !== 200) return `status ${answer?.status}`
  type Choices = {
    index: number
    finish_reason: string | null
    delta?: { content?: string }
    message?: { content: string }
  }[]
  if (!isStream) {
    const { choices } = JSON.parse(answer.text) as { choices: Choices }
    return JSON.stringify(choices.map(({ finish_reason, message }) => [finish_reason, message!.content]))
  }
  const events = answer.text
    .trimEnd()
    .split('\n\n')
    .filter((line) => !line.startsWith(':'))
  if (events.pop() !== 'data: [DONE]') return `no end: ${answer.text.slice(-200)}`
  const texts = new Map<number, { text: string; ends: string[] }>()
  for (const event of events)
    for (const { index, delta, finish_reason } of (JSON.parse(event.slice(6)) as { choices: Choices }).choices) {
      const entry = texts.get(index) ?? { text: '', ends: [] }
      texts.set(index, entry)
      entry.text += delta?.content ?? ''
      if (finish_reason !== null) entry.ends.push(finish_reason)
    }
  return JSON.stringify([...texts].sort(([a], [b]) => a - b))
}

/** Posts a body; with `leaveAfter` the client goes after so many milliseconds, and there is no answer. */
function send({ url, agent }: SoakOptions, body: string, leaveAfter?: number): Promise<Answer | undefined> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
    const outgoing = request(`${url}/v1/chat/completions`, { method: 'POST', headers, agent }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (data: string) => (text += data))
      incoming.on('close', () => resolve({ status: incoming.statusCode ?? 0, text }))
      incoming.on('error', () => resolve(undefined))
    })
    outgoing.on('error', (error) => resolve(leaveAfter === undefined ? { status: 0, text: String(error) } : undefined))
    if (leaveAfter !== undefined) setTimeout(() => outgoing.destroy(), leaveAfter)
    outgoing.end(body)
  })
}

/** A sum over all series of a metric. */
export function metricOf(text: string, name: string): number {
  return text
    .split('\n')
    .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
}
