// @ts-check
import { measureMachine } from '@slipway/tensor'
import { openContestants } from './contestants.mjs'
import { bytesPerToken } from './cost.mjs'
import { ggufBytesPerToken } from './gguf-model.mjs'
import { describeMachine } from './machine.mjs'
import { readOptions, refuse } from './options.mjs'
import { prepare } from './prepare.mjs'
import { median } from './rates.mjs'
import { disturbed, printRound, printSummary, writeJson } from './report.mjs'
import { shapes } from './shapes.mjs'

/** @typedef {import('./rates.mjs').Task} Task */
/** @typedef {import('./options.mjs').Options} Options */
/** @typedef {import('./contestants.mjs').Contestant} Contestant */
/** @typedef {{ readonly label: string, readonly task: Task }} Case */

/**
 * What one command found. Rates are tokens per second, or seconds for `load`; a ratio above 1 says that ours is faster
 * by that factor.
 *
 * @typedef {object} CaseResult
 * @property {string} label
 * @property {Task} [task] of those that are compared with peers
 * @property {Record<string, number[]>} values by contestant, one per round
 * @property {Record<string, number>} medians
 * @property {Record<string, number>} ratios of the medians, by peer
 * @property {Record<string, number>} [bytesPerToken] weights, keys and values read for one token
 * @property {Record<string, number[]>} [reads] GB/s that the machine read around each of the values
 *
 * @typedef {object} Result
 * @property {string} bench
 * @property {string} [command] how to make it again; written with the file
 * @property {string} shape
 * @property {string} quantization
 * @property {number} threads
 * @property {number} rounds
 * @property {string} unit
 * @property {import('./machine.mjs').Machine} machine
 * @property {{ bandwidth: number, peak: number }} speed medians: GB/s of reading, GFLOP/s of f32
 * @property {number} others mean share of all cores that other processes took; above a few percent nothing counts
 * @property {{ name: string, info: Readonly<Record<string, unknown>> }[]} contestants
 * @property {CaseResult[]} cases
 */

/**
 * One command: makes the files, measures, and tells the result.
 *
 * @param {string} bench
 * @param {{ flags: readonly import('./options.mjs').Flag[], unit?: string, cases: (options: Options) => Case[] }} plan
 */
export async function compare(bench, { flags, unit = 'tok/s', cases: plan }) {
  const options = readOptions(bench, flags)
  const shape = shapes[options.shape]
  const cases = plan(options)
  if (cases.length === 0) refuse(`nothing is left to measure of ${bench}`)
  const tasks = cases.map(({ task }) => task)
  const files = await prepare(options.shape, {
    gguf: options.peer !== undefined || options.llamaBenches.length > 0,
    quantization: options.quantization,
  })
  const contestants = openContestants(options, files, {
    vocab: shape.vocab,
    threads: options.threads,
    quantization: options.quantization,
    context: Math.max(...tasks.map(({ prompt, tokens }) => prompt + tokens)) + 1,
    sequences: Math.max(...tasks.map(({ sequences }) => sequences)),
    batchTokens: options.batchTokens,
  })
  const { values, reads, ...measured } = await measureRounds(cases, contestants, options, unit)
  const names = contestants.map(({ name }) => name)
  const ours = await bytesPerToken(shape, options.quantization)
  /** @type {CaseResult[]} */
  const results = []
  for (const [c, { label, task }] of cases.entries()) {
    // in the middle of the answer
    const context = task.prompt + (task.tokens >> 1)
    const bytes = [await ours(context), ...names.slice(1).map(() => ggufBytesPerToken(shape, context))]
    results.push({
      label,
      task,
      ...summary(names, values[c], unit === 's'),
      bytesPerToken: Object.fromEntries(names.map((name, i) => [name, bytes[i]])),
      reads: Object.fromEntries(names.map((name, i) => [name, reads[c][i]])),
    })
  }
  /** @type {Result} */
  const result = {
    bench,
    shape: options.shape,
    quantization: options.quantization,
    threads: options.threads,
    rounds: options.rounds,
    unit,
    machine: describeMachine(),
    ...measured,
    contestants: contestants.map(({ name, info }) => ({ name, info })),
    cases: results,
  }
  printSummary(result)
  if (options.json) await writeJson(options.json, result)
}

/** Tokens of a prompt from which on the shorter cases have warmed up enough. */
const longWarmUp = 1024

/**
 * Measures the cases for every contestant, one after another within each round, so that a slow minute of the machine
 * hits all of them. The order turns around from round to round. Before and after each measurement the machine's own
 * reading is measured: neighbours can double it or halve it within seconds. Values are by case, contestant and round.
 *
 * @param {readonly Case[]} cases
 * @param {readonly Contestant[]} contestants
 * @param {Options} options
 * @param {string} unit
 */
async function measureRounds(cases, contestants, { rounds, retries, threads }, unit) {
  const perTurn = () => cases.map(() => contestants.map(() => /** @type {number[]} */ ([])))
  const [values, reads] = [perTurn(), perTurn()]
  const measureSpeed = () =>
    measureMachine(threads) ?? refuse('the native kernels are not built: npm run build tells why')
  /** @type {import('@slipway/tensor').MachineSpeed[]} */
  const speeds = []
  /** @type {number[]} */
  const others = []
  try {
    for (let round = 0; round <= rounds; round++) {
      const isWarmUp = round === 0
      let speed = measureSpeed()
      for (const [c, { label, task }] of cases.entries()) {
        for (const i of turns(contestants.length, round)) {
          if (isWarmUp && c > 0 && task.prompt > longWarmUp) continue
          const measured = await measureCalmly(contestants[i], task, isWarmUp ? 0 : retries)
          if (isWarmUp || !measured) continue
          const before = speed.bandwidth
          speeds.push((speed = measureSpeed()))
          values[c][i].push(measured.value)
          reads[c][i].push((before + speed.bandwidth) / 2)
          others.push(measured.others ?? 0)
        }
        if (!isWarmUp) printRound(round, label, unit, contestants, values[c], speed, others.slice(-contestants.length))
      }
    }
  } finally {
    for (const contestant of contestants) await contestant.close()
  }
  return {
    values,
    reads,
    speed: { bandwidth: median(speeds.map((s) => s.bandwidth)), peak: median(speeds.map((s) => s.peak)) },
    others: others.reduce((a, b) => a + b, 0) / others.length,
  }
}

/**
 * Measures again while other processes disturb; the least disturbed measurement counts, not the fastest.
 *
 * @param {Contestant} contestant
 * @param {Task} task
 * @param {number} retries
 */
async function measureCalmly(contestant, task, retries) {
  let best = await contestant.measure(task)
  for (let i = 0; i < retries && (best?.others ?? 0) > disturbed; i++) {
    const again = await contestant.measure(task)
    if ((again?.others ?? 0) < (best?.others ?? 0)) best = again
  }
  return best
}

/** @param {number} count @param {number} round */
function turns(count, round) {
  const order = Array.from({ length: count }, (_, i) => i)
  return round % 2 === 0 ? order : order.reverse()
}

/**
 * @param {readonly string[]} names ours first
 * @param {readonly number[][]} values
 * @param {boolean} lessIsBetter
 */
export function summary(names, values, lessIsBetter) {
  const measured = names.flatMap((name, i) => (values[i].length > 0 ? [/** @type {const} */ ([name, values[i]])] : []))
  const medians = Object.fromEntries(measured.map(([name, list]) => [name, median(list)]))
  const [ours, ...peers] = names
  const ratio = (/** @type {string} */ peer) => medians[ours] / medians[peer]
  const ratios = peers
    .filter((peer) => peer in medians)
    .map((peer) => [peer, lessIsBetter ? 1 / ratio(peer) : ratio(peer)])
  return { values: Object.fromEntries(measured), medians, ratios: Object.fromEntries(ratios) }
}
