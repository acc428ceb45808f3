// @ts-check
// Requests per second of the server where the engine costs nothing: a stub in the engine's thread answers at once with one
// token. What is left is HTTP, checks, template, tokens, messages between threads, metrics and log, as `slipway serve` has
// them, on the cores that the load comes from too.
import { availableParallelism } from 'node:os'
import { setTimeout } from 'node:timers/promises'
import { measureMachine } from '@slipway/tensor'
import { repeat, requestBytes } from './lib/http-load.mjs'
import { busyTime, describeMachine } from './lib/machine.mjs'
import { readOptions, refuse } from './lib/options.mjs'
import { median } from './lib/rates.mjs'
import { printSummary, writeJson } from './lib/report.mjs'
import { startStubbed } from './lib/stubbed-server.mjs'

const { own, json } = readOptions(
  'front',
  [
    ['connections', '32', 'kept open, each with one request at a time'],
    ['seconds', '2', 'of a measurement'],
    ['rounds', '3', 'measured rounds'],
  ],
  ['json'],
)
const [connections, seconds, rounds] = [own['connections'][0], own['seconds'][0], own['rounds'][0]]
const key = 'a-key-of-the-bench'
const threads = availableParallelism()
const speed = measureMachine(threads) ?? refuse('the native kernels are not built: npm run build tells why')

const content = 'What is the capital of France? Answer in one word.'
const chat = { model: 'slipway-mini', messages: [{ role: 'user', content }], max_tokens: 1 }
const completion = { model: 'slipway-mini', prompt: 'The capital of France is', max_tokens: 1 }
const cases = [
  { label: 'chat', path: '/v1/chat/completions', body: chat, flags: [] },
  { label: 'chat, streamed', path: '/v1/chat/completions', body: { ...chat, stream: true }, flags: [] },
  { label: 'chat, with a key', path: '/v1/chat/completions', body: chat, flags: ['--api-key', key] },
  { label: 'completions', path: '/v1/completions', body: completion, flags: [] },
]

const [busy, used, start] = [busyTime(), process.cpuUsage(), performance.now()]
let served = 0
/** @type {import('./lib/harness.mjs').CaseResult[]} */
const results = []
for (const { label, path, body, flags } of cases) {
  const server = await startStubbed({ flags })
  const bytes = requestBytes(server.url, path, body, key)
  // until what is called often is compiled
  await repeat(server.url, bytes, connections, performance.now() + 5000)
  const rates = []
  for (let round = 0; round < rounds; round++) {
    const [from, cpu] = [performance.now(), server.cpuTime()]
    const numAnswers = await repeat(server.url, bytes, connections, from + seconds * 1000)
    rates.push((numAnswers / (performance.now() - from)) * 1000)
    const microseconds = ((server.cpuTime() - cpu) / numAnswers) * 1000
    console.log(
      `${label}: ${rates.at(-1)?.toFixed(0)} requests/s, ${microseconds.toFixed(0)} µs each in the thread that serves`,
    )
  }
  served += server.processTime()
  await server.close()
  await setTimeout(200)
  results.push({ label, values: { slipway: rates }, medians: { slipway: median(rates) }, ratios: {} })
}
const ours = process.cpuUsage(used)
const machine = describeMachine()
const mine = (ours.user + ours.system) / 1000 + served
/** @type {import('./lib/harness.mjs').Result} */
const result = {
  bench: 'front',
  shape: 'embedded',
  quantization: 'none',
  threads,
  rounds,
  unit: 'requests/s',
  machine,
  speed,
  others: Math.max(0, (busyTime() - busy - mine) / ((performance.now() - start) * machine.cores)),
  contestants: [{ name: 'slipway', info: { connections } }],
  cases: results,
}
printSummary(result)
if (json) await writeJson(json, result)
