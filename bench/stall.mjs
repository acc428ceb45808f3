// @ts-check
// How long the tokens of running chats make their readers wait while a long prompt is computed: the 99th percentile of the
// time between two tokens, before it came and beside it, at the beginning, in the middle and at the end of its life. In
// between it is computed alone, since its time beside the chats is minutes; `--sample 0` measures all of it.
import { setTimeout } from 'node:timers/promises'
import { firstToken, measureLatency, promptOf, quantile } from './lib/latency.mjs'

/** @typedef {import('@slipway/engine').LLM} LLM */
/** @typedef {{ name: string, gaps: readonly number[], depth: number, rate: number }} Part tokens per second at a depth */

/** Tokens of a chat before it begins to answer. */
const chatPrompt = 64

/** Milliseconds in which chats that begin again settle. */
const settle = 1000

/** Runs chats until `stop`; resolves when each has begun. @param {LLM} llm @param {number} count @param {number} maxTokens @param {number} vocab */
async function startChats(llm, count, maxTokens, vocab) {
  /** @type {{ at: number, gap: number }[]} */
  const gaps = []
  /** @type {Set<number>} */
  const started = new Set()
  const end = new AbortController()
  const open = Array.from({ length: count }, async (_, i) => {
    const params = { temperature: 0, maxTokens, ignoreEos: true }
    let last = 0
    for await (const event of llm.submit(promptOf(i, chatPrompt, vocab), params, {
      signal: end.signal,
      priority: -1,
    })) {
      if (event.type !== 'delta') continue
      const now = performance.now()
      if (started.has(i)) gaps.push({ at: now, gap: now - last })
      started.add(i)
      last = now
    }
  })
  while (started.size < count) await setTimeout(10)
  return {
    /** Times between tokens that both came after `from`. @param {number} from */
    since: (from) => gaps.filter(({ at, gap }) => at - gap >= from).map(({ gap }) => gap),
    async stop() {
      end.abort()
      await Promise.all(open)
    },
  }
}

/** Submits the long prompt and tells how far it is. @param {LLM} llm @param {readonly number[]} ids */
function computePrompt(llm, ids) {
  let isDone = false
  const params = { temperature: 0, maxTokens: 1, ignoreEos: true }
  const done = llm
    .submit(ids, params)
    .result()
    .then(() => (isDone = true))
  const computed = async () => {
    const { sequences } = await llm.snapshot()
    const own = sequences.find(({ promptTokens }) => promptTokens === ids.length)
    return isDone ? ids.length : (own?.computedTokens ?? 0)
  }
  /** @param {number} count */
  const reaches = async (count) => {
    while ((await computed()) < count) await setTimeout(50)
  }
  return { done, computed, reaches }
}

/** Seconds that all tokens take at rates whose inverse grows evenly with depth. @param {readonly Part[]} parts @param {number} count */
function secondsOf(parts, count) {
  const mean = (/** @type {(part: Part) => number} */ of) =>
    parts.reduce((sum, part) => sum + of(part), 0) / parts.length
  const [depth, cost] = [mean((part) => part.depth), mean(({ rate }) => 1 / rate)]
  const spread = mean((part) => (part.depth - depth) ** 2)
  const slope = spread > 0 ? mean((part) => (part.depth - depth) * (1 / part.rate - cost)) / spread : 0
  return count * (cost + slope * (count / 2 - depth))
}

await measureLatency('stall', {
  flags: [
    ['prompt', '16384', 'tokens of the long prompt'],
    ['chats', '8', 'sequences that decode meanwhile'],
    ['seconds', '15', 'time that is measured before it comes'],
    ['sample', '15', 'time that is measured at its beginning, in its middle and at its end; 0: all the time'],
  ],
  engine: ({ prompt: [prompt], chats: [chats] }) => ({
    maxModelLen: prompt + 64,
    maxNumSeqs: chats + 1,
    kvCacheMemory: '3GB',
  }),
  async measure(llm, { prompt: [prompt], chats: [chats], seconds: [seconds], sample: [sample] }, vocab) {
    const start = () => startChats(llm, chats, prompt - chatPrompt, vocab)
    let talk = await start()
    // the engine learns how long its steps take, from short prompts and from decodes
    for (let i = 0; i < 3; i++) await firstToken(llm, promptOf(100 + i, 200, vocab))
    await setTimeout(5 * settle)
    const before = performance.now()
    await setTimeout(seconds * 1000)
    const alone = talk.since(before)

    const arrival = performance.now()
    const long = computePrompt(llm, promptOf(99, prompt, vocab))
    /** @type {Part[]} */
    const parts = []
    /** Measures until `end` resolves. @param {string} name @param {() => Promise<unknown>} end */
    const measure = async (name, end) => {
      const [from, first] = [performance.now(), await long.computed()]
      await end()
      const [time, last] = [performance.now() - from, await long.computed()]
      parts.push({ name, gaps: talk.since(from), depth: (first + last) / 2, rate: ((last - first) / time) * 1000 })
    }
    if (sample === 0) await measure('whole', () => long.done)
    else {
      const some = () => Promise.race([setTimeout(sample * 1000), long.done])
      await measure('first', some)
      await talk.stop()
      await long.reaches(prompt / 2)
      talk = await start()
      await setTimeout(settle)
      await measure('middle', some)
      await talk.stop()
      // alone it is computed in steps of many tokens
      await long.reaches(prompt - 2048)
      talk = await start()
      await setTimeout(settle)
      await measure('last', some)
      await talk.stop()
      await long.done
    }
    const wall = (performance.now() - arrival) / 1000
    await talk.stop()

    const p99 = quantile(alone, 0.99)
    for (const { name, gaps, depth, rate } of parts) {
      const ratio = quantile(gaps, 0.99) / p99
      console.log(
        `${name}: ${rate.toFixed(1)} tokens/s of the prompt around ${depth.toFixed(0)}, p99 ${ratio.toFixed(2)}x of ${gaps.length} gaps`,
      )
    }
    const all = parts.flatMap(({ gaps }) => gaps)
    const whole = sample === 0 ? wall : secondsOf(parts, prompt)
    const how = sample === 0 ? '' : `, by these rates (${wall.toFixed(0)} s with chats only in the parts)`
    console.log(
      `first token of the long prompt after ${whole.toFixed(0)} s${how}: ${(prompt / whole).toFixed(1)} tokens/s; ` +
        `p99 ${(quantile(all, 0.99) / p99).toFixed(2)}x, median ${(quantile(all, 0.5) / quantile(alone, 0.5)).toFixed(2)}x`,
    )
    return [
      { label: `${chats} chats alone, median`, values: alone, value: quantile(alone, 0.5) },
      { label: `beside a prompt of ${prompt}, median`, values: all, value: quantile(all, 0.5) },
      { label: `${chats} chats alone, p99`, values: [], value: p99 },
      ...parts.map(({ name, gaps }) => ({
        label: `beside its ${name} part, p99`,
        values: [],
        value: quantile(gaps, 0.99),
      })),
    ]
  },
})
