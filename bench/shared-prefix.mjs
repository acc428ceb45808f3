// @ts-check
// Time to the first token of requests that begin alike, one after another: the first computes the beginning, the others
// find it.
import { firstToken, measureLatency, promptOf, quantile } from './lib/latency.mjs'

/** Tokens of each request after what all have in common. */
const ownTokens = 16

await measureLatency('shared-prefix', {
  flags: [
    ['prefix', '2048', 'tokens that all requests have in common'],
    ['requests', '32', 'how many'],
  ],
  engine: ({ prefix: [prefix] }) => ({ maxModelLen: prefix + 64, maxNumSeqs: 4, kvCacheMemory: '1GB' }),
  async measure(llm, { prefix: [prefix], requests: [requests] }, vocab) {
    // kernels and caches warm up on another text
    await firstToken(llm, promptOf(99, prefix, vocab))
    const shared = promptOf(0, prefix, vocab)
    const times = []
    for (let i = 0; i < requests; i++)
      times.push(await firstToken(llm, [...shared, ...promptOf(i + 1, ownTokens, vocab)]))
    const [first, ...later] = times
    return [
      { label: 'first request', values: [first], value: first },
      { label: 'those after it, median', values: later, value: quantile(later, 0.5) },
      { label: 'those after it, slowest', values: [], value: Math.max(...later) },
    ]
  },
})
