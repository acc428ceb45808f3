// @ts-check
import { mkdir, writeFile } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import { median } from './rates.mjs'

/** @typedef {import('./harness.mjs').Result} Result */
/** @typedef {import('./harness.mjs').CaseResult} CaseResult */

/** From this share of all cores on, other processes spoil a measurement: kernels wait for each other all the time. */
export const disturbed = 0.03

/** Three figures that count. @param {number} value */
export function figure(value) {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

/**
 * @param {number} round
 * @param {string} label
 * @param {string} unit
 * @param {readonly { name: string }[]} contestants
 * @param {readonly number[][]} values
 * @param {{ bandwidth: number }} speed
 * @param {readonly number[]} others
 */
export function printRound(round, label, unit, contestants, values, speed, others) {
  const parts = contestants.flatMap(({ name }, i) => {
    const value = values[i].at(-1)
    return value === undefined ? [] : [`${name} ${figure(value)} ${unit}`]
  })
  const most = Math.max(...others)
  if (most > disturbed) parts.push(`disturbed: other processes took ${percent(most)}`)
  console.log([`round ${round}`, label, ...parts, `reads ${figure(speed.bandwidth)} GB/s`].join('  '))
}

/** @param {number} share */
const percent = (share) => `${(100 * share).toFixed(0)} %`

/** Header and rows of the table that terminal and document show. @param {Result} result */
export function tableOf({ bench, unit, contestants, cases }) {
  const names = contestants.map(({ name }) => name)
  const [ours, ...peers] = names
  const streams = bench === 'decode' || bench === 'depth'
  const relates = ['batch', 'depth', 'stall', 'shared-prefix', 'streams'].includes(bench)
  // one side with something and without it, each pair of values from the same round
  const isPaired = bench === 'structured'
  const header = [
    '',
    ...names.map((name) => (unit ? `${name}, ${unit}` : name)),
    ...peers.map((name) => (isPaired ? 'more (middle half of the rounds)' : `against ${name}`)),
    ...(relates ? names.map((name) => `${name}, of the first row`) : []),
    ...(streams ? names.map((name) => `${name}, GB/s (of reading)`) : []),
  ]
  const cell = (/** @type {number | undefined} */ value, /** @type {(value: number) => string} */ show) =>
    value === undefined ? '-' : show(value)
  const rows = cases.map(({ label, values, medians, ratios, bytesPerToken, reads }) => [
    label,
    ...names.map((name) => cell(medians[name], figure)),
    ...peers.map((name) =>
      isPaired ? overheadOf(values[ours], values[name]) : cell(ratios[name], (ratio) => `${ratio.toFixed(2)}x`),
    ),
    ...(relates ? names.map((name) => cell(medians[name], (m) => `${(m / cases[0].medians[name]).toFixed(2)}x`)) : []),
    ...(streams
      ? names.map((name) =>
          cell(medians[name], (rate) => {
            const gigabytes = (bytesPerToken?.[name] ?? NaN) / 1e9
            const shares = values[name].map((value, i) => (value * gigabytes) / (reads?.[name][i] ?? NaN))
            return `${figure(rate * gigabytes)} (${percent(median(shares))})`
          }),
        )
      : []),
  ])
  return { header, rows, ours }
}

/** By how much each value is above its pair: the median, and the quartiles. @param {readonly number[]} base @param {readonly number[]} values */
function overheadOf(base, values) {
  const all = values.map((value, i) => value / base[i] - 1).sort((a, b) => a - b)
  const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => (100 * all[Math.floor(share * all.length)]).toFixed(1))
  return `${middle} % (${low} to ${high})`
}

/** @param {Result} result */
export function titleOf({ bench, shape, quantization, threads, rounds }) {
  return `${bench}, shape ${shape}, ours ${quantization}, ${threads} threads, medians of ${rounds} rounds`
}

/** @param {Result} result */
export function notesOf({ machine, speed, others, contestants, cases }) {
  const { processor, cores, isa, memoryGiB, hugePages, system, node, date } = machine
  const { bytesPerToken: read } = cases[0]
  const bytes = contestants.map(({ name }) => `${name} ${figure((read?.[name] ?? NaN) / 1e6)} MB`)
  const versions = contestants
    .slice(1)
    .flatMap(({ name, info }) => (info['version'] ? [`${name} ${info['version']}`] : []))
  return [
    `${processor}, ${cores} cores, ${isa}, ${memoryGiB} GiB, huge pages ${hugePages}, ${system}, Node ${node}, ${date}`,
    `reads ${figure(speed.bandwidth)} GB/s, f32 peak ${figure(speed.peak)} GFLOP/s, both with all threads`,
    `other processes took ${percent(others)} of all cores meanwhile`,
    ...(read ? [`bytes read for a token: ${bytes.join(', ')}`] : []),
    ...(versions.length > 0 ? [`peers: ${versions.join(', ')}`] : []),
  ]
}

/** @param {Result} result */
export function printSummary(result) {
  const { header, rows } = tableOf(result)
  const widths = header.map((_, i) => Math.max(...[header, ...rows].map((row) => row[i].length)))
  const line = (/** @type {readonly string[]} */ row) => row.map((text, i) => text.padStart(widths[i])).join('  ')
  console.log(['', titleOf(result), ...notesOf(result), '', line(header), ...rows.map(line)].join('\n'))
}

/** Writes the result with the command that makes it. @param {string} file @param {Result} result */
export async function writeJson(file, result) {
  await mkdir(dirname(file), { recursive: true })
  const [, script = '', ...args] = process.argv
  const { bench, ...rest } = result
  const whole = { bench, command: commandOf(`bench/${basename(script)}`, args), ...rest }
  await writeFile(file, `${JSON.stringify(whole, undefined, 2)}\n`)
}

/**
 * A command as somebody else can give it: without the paths of one machine.
 *
 * @param {string} script
 * @param {readonly string[]} args
 */
function commandOf(script, args) {
  const isLocal = (/** @type {string | undefined} */ arg) => arg === '--json' || arg === '--llama-bench'
  const kept = args.filter((arg, i) => !isLocal(arg) && !isLocal(args[i - 1]) && !/^--(?:json|llama-bench)=/.test(arg))
  return ['node', script, ...kept].join(' ')
}
