// @ts-check
// Clients that share the beginning of their prompts, against our server and against a peer behind a minimal loop:
// `slipway bench serve` asks both, one after the other within each round, each round with other texts.
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { measureMachine } from '@slipway/tensor'
import { versionOf } from './lib/contestants.mjs'
import { summary } from './lib/harness.mjs'
import { busyTime, describeMachine, ownTime } from './lib/machine.mjs'
import { readOptions, refuse } from './lib/options.mjs'
import { prepare } from './lib/prepare.mjs'
import { median } from './lib/rates.mjs'
import { Remote } from './lib/remote.mjs'
import { figure, printSummary, writeJson } from './lib/report.mjs'

/** @typedef {{ tokensPerSecond: number, newTokensPerSecond: number, ttft: { median: number, p99: number }, numFailed: number }} Figures */

/** What is compared: where less is better, in milliseconds. */
const cases = [
  { label: 'tokens/s', of: (/** @type {Figures} */ f) => f.tokensPerSecond, lessIsBetter: false },
  { label: 'new tokens/s', of: (/** @type {Figures} */ f) => f.newTokensPerSecond, lessIsBetter: false },
  { label: 'first token, median ms', of: (/** @type {Figures} */ f) => f.ttft.median, lessIsBetter: true },
  { label: 'first token, p99 ms', of: (/** @type {Figures} */ f) => f.ttft.p99, lessIsBetter: true },
]

const options = readOptions(
  'serve',
  [
    ['clients', '16', 'requests at once'],
    ['requests', '32', 'in all'],
    ['prefix', '512', 'tokens that all prompts begin with'],
    ['prompt', '32', 'tokens of each prompt after that'],
    ['tokens', '32', 'new tokens of each answer'],
  ],
  ['shape', 'rounds', 'peer', 'quantization', 'threads', 'batch-tokens', 'json'],
)
const { shape, quantization, threads, batchTokens, peer, rounds, own } = options
const [clients, requests, prefix, prompt, tokens] = ['clients', 'requests', 'prefix', 'prompt', 'tokens'].map(
  (name) => own[name][0],
)
const files = await prepare(shape, { gguf: peer !== undefined, quantization })
const settings = { threads, quantization, context: prefix + prompt + tokens + 64, sequences: clients, batchTokens }

/**
 * A server in a process of its own. `ask` tells its address, and its processor time so far.
 *
 * @param {string} name
 * @param {string} model
 * @param {Record<string, unknown>} info
 */
function contestant(name, model, info) {
  const remote = new Remote(name, 'server.mjs')
  const message = {
    module: new URL(`lib/server-${name}.mjs`, import.meta.url).href,
    settings: { ...settings, model },
  }
  /** @returns {Promise<{ url: string, cpuTime: number }>} */
  const ask = () => remote.ask(message)
  return { name, info, ask, close: () => remote.close() }
}

/** What the clients saw. @param {string} url @param {number} seed @param {string} folder @returns {Promise<Figures>} */
async function load(url, seed, folder) {
  const json = join(folder, 'load.json')
  const bin = fileURLToPath(new URL('../packages/slipway/dist/bin.js', import.meta.url))
  const flags = {
    url,
    endpoint: 'completions',
    workload: 'shared-prefix',
    'num-prompts': requests,
    'max-concurrency': clients,
    'prefix-len': prefix,
    'input-len': prompt,
    'output-len': tokens,
    tokenizer: files.checkpoint,
    seed,
    json,
  }
  const args = Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)])
  await promisify(execFile)(process.execPath, [bin, 'bench', 'serve', 'bench', '--ignore-eos', ...args])
  return JSON.parse(await readFile(json, 'utf8'))
}

const folder = await mkdtemp(join(tmpdir(), 'slipway-serve-'))
const contestants = [contestant('slipway', files.checkpoint, {})]
if (peer) contestants.push(contestant(peer, files.gguf, { version: versionOf(peer) }))
try {
  const values = cases.map(() => contestants.map(() => /** @type {number[]} */ ([])))
  const speeds = []
  const others = []
  for (let round = 0; round <= rounds; round++) {
    const speed = measureMachine(threads) ?? refuse('the native kernels are not built: npm run build tells why')
    const order = round % 2 === 0 ? contestants : [...contestants].reverse()
    for (const one of order) {
      const before = await one.ask()
      const [busy, used, start] = [busyTime(), ownTime(), performance.now()]
      const figures = await load(before.url, round, folder)
      const worked = (await one.ask()).cpuTime - before.cpuTime + ownTime() - used
      const share = Math.max(0, busyTime() - busy - worked) / ((performance.now() - start) * describeMachine().cores)
      // the first round warms up
      if (round === 0) continue
      others.push(share)
      for (const [c, { of }] of cases.entries()) values[c][contestants.indexOf(one)].push(of(figures))
      const shown = cases.map(({ label, of }) => `${label} ${figure(of(figures))}`)
      console.log([`round ${round}`, one.name, ...shown].join('  '))
    }
    if (round > 0) speeds.push(speed)
  }
  const names = contestants.map(({ name }) => name)
  /** @type {import('./lib/harness.mjs').Result} */
  const result = {
    bench: 'serve',
    shape,
    quantization,
    threads,
    rounds,
    unit: '',
    machine: describeMachine(),
    speed: { bandwidth: median(speeds.map((s) => s.bandwidth)), peak: median(speeds.map((s) => s.peak)) },
    others: others.reduce((a, b) => a + b, 0) / others.length,
    contestants: contestants.map(({ name, info }) => ({ name, info })),
    cases: cases.map(({ label, lessIsBetter }, c) => ({ label, ...summary(names, values[c], lessIsBetter) })),
  }
  printSummary(result)
  if (options.json) await writeJson(options.json, result)
} finally {
  await Promise.all(contestants.map((one) => one.close()))
  await rm(folder, { recursive: true, force: true })
}
