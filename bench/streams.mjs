// @ts-check
// What streams cost in front of the engine: processor time of the thread that serves, for a token of every stream, beside the
// time that a decode step of as many sequences takes. The server's engine is a stub whose steps take a given time.
import { setTimeout } from 'node:timers/promises'
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { readStreams, requestBytes } from './lib/http-load.mjs'
import { measureLatency, promptOf, quantile } from './lib/latency.mjs'
import { startStubbed } from './lib/stubbed-server.mjs'

await measureLatency('streams', {
  flags: [
    ['streams', '16', 'how many at once'],
    ['step', '20', 'milliseconds of a step of the stub'],
    ['seconds', '5', 'of a measurement'],
  ],
  engine: ({ streams: [streams] }) => ({ maxModelLen: 512, maxNumSeqs: streams, kvCacheMemory: '500MB' }),
  async measure(llm, { streams: [streams], step: [step], seconds: [seconds] }, vocab) {
    const steps = await decodeSteps(llm, streams, vocab, 40)
    const mini = await LLM.load(miniModelDirectory, { maxModelLen: 512, maxNumSeqs: streams })
    const miniSteps = await decodeSteps(mini, streams, mini.info.vocabSize, 300)
    await mini.close()
    const front = await frontSteps(streams, step, seconds)
    const [own, embedded, all] = [steps, miniSteps, front].map((values) => quantile(values, 0.5))
    console.log(
      `a stream: ${((all / streams) * 1000).toFixed(0)} µs a step, ${percent(all / streams / own)} of a step of this shape, ` +
        `${percent(all / streams / embedded)} of one of the embedded model; all of them: ${percent(all / own)} and ${percent(all / embedded)}`,
    )
    return [
      { label: `a decode step of ${streams}`, values: steps, value: own },
      { label: 'of the embedded model', values: miniSteps, value: embedded },
      { label: `${streams} streams in front of it`, values: front, value: all },
      { label: 'one of them', values: [], value: all / streams },
    ]
  },
})

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(2)} %`
}

/** Milliseconds between the tokens of one of many sequences. @param {LLM} llm @param {number} numSequences @param {number} vocab @param {number} numTokens */
async function decodeSteps(llm, numSequences, vocab, numTokens) {
  /** @type {number[]} */
  const arrivals = []
  await Promise.all(
    Array.from({ length: numSequences }, async (_, i) => {
      const params = { temperature: 0, maxTokens: numTokens, ignoreEos: true }
      for await (const event of llm.submit(promptOf(i, 32, vocab), params))
        if (event.type === 'delta' && i === 0) arrivals.push(performance.now())
    }),
  )
  // the first ones stand beside the prompts of others
  return arrivals.slice(10).map((time, i) => time - (arrivals[i + 9] ?? 0))
}

/**
 * Milliseconds of processor time per step that the thread that serves needs for all streams, one figure for each second.
 *
 * @param {number} numStreams
 * @param {number} stepTime
 * @param {number} seconds
 */
async function frontSteps(numStreams, stepTime, seconds) {
  const server = await startStubbed({ stepTime })
  const messages = [{ role: 'user', content: 'What is the capital of France? Answer in one word.' }]
  const body = { model: 'slipway-mini', messages, max_tokens: 1900, stream: true }
  const streams = readStreams(server.url, requestBytes(server.url, '/v1/chat/completions', body), numStreams)
  await setTimeout(8000)
  const costs = []
  for (let second = 0; second < seconds; second++) {
    const [events, cpu] = [streams.numEvents(), server.cpuTime()]
    await setTimeout(1000)
    costs.push(((server.cpuTime() - cpu) / (streams.numEvents() - events)) * numStreams)
  }
  streams.close()
  await server.close()
  return costs
}
