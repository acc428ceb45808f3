// @ts-check
// How long the tokens of running chats make their readers wait while a long prompt is computed: the 99th percentile of the
// time between two tokens, before it came and until its first token.
import { setTimeout } from 'node:timers/promises'
import { firstToken, measureLatency, promptOf, quantile } from './lib/latency.mjs'

/** Tokens of a chat before it begins to answer. */
const chatPrompt = 64

await measureLatency('stall', {
  flags: [
    ['prompt', '16000', 'tokens of the long prompt'],
    ['chats', '8', 'sequences that decode meanwhile'],
    ['seconds', '20', 'time that is measured before it comes'],
  ],
  engine: ({ prompt: [prompt], chats: [chats] }) => ({
    maxModelLen: prompt + 64,
    maxNumSeqs: chats + 1,
    kvCacheMemory: '3GB',
  }),
  async measure(llm, { prompt: [prompt], chats: [chats], seconds: [seconds] }, vocab) {
    /** @type {{ at: number, gap: number }[]} */
    const gaps = []
    const stop = new AbortController()
    /** @type {Set<number>} */
    const started = new Set()
    const open = Array.from({ length: chats }, async (_, i) => {
      const params = { temperature: 0, maxTokens: prompt - chatPrompt, ignoreEos: true }
      let last = 0
      for await (const event of llm.submit(promptOf(i, chatPrompt, vocab), params, { signal: stop.signal })) {
        if (event.type !== 'delta') continue
        const now = performance.now()
        if (started.has(i)) gaps.push({ at: now, gap: now - last })
        started.add(i)
        last = now
      }
    })
    while (started.size < chats) await setTimeout(10)
    // the engine learns how long its steps take, from short prompts and from decodes
    for (let i = 0; i < 3; i++) await firstToken(llm, promptOf(100 + i, 200, vocab))
    await setTimeout(5000)
    const start = performance.now()
    await setTimeout(seconds * 1000)
    const arrival = performance.now()
    const whole = await firstToken(llm, promptOf(99, prompt, vocab))
    const end = performance.now()
    stop.abort()
    await Promise.all(open)
    const between = (/** @type {number} */ from, /** @type {number} */ to) =>
      gaps.filter(({ at, gap }) => at - gap >= from && at <= to).map(({ gap }) => gap)
    const [alone, beside] = [between(start, arrival), between(arrival, end)]
    const ratio = quantile(beside, 0.99) / quantile(alone, 0.99)
    console.log(`first token of the long prompt after ${(whole / 1000).toFixed(1)} s; p99 ${ratio.toFixed(2)}x`)
    return [
      { label: `${chats} chats alone, median`, values: alone, value: quantile(alone, 0.5) },
      { label: `beside a prompt of ${prompt}, median`, values: beside, value: quantile(beside, 0.5) },
      { label: `${chats} chats alone, p99`, values: [], value: quantile(alone, 0.99) },
      { label: `beside a prompt of ${prompt}, p99`, values: [], value: quantile(beside, 0.99) },
    ]
  },
})
