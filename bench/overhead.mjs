// @ts-check
// What a decode step costs outside of its kernels, in percent of the step: medians over processes of `slipway bench
// --profile`, since where a process's memory lies moves a single one by more than what is measured.
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { busyTime, ownTime, describeMachine } from './lib/machine.mjs'
import { readOptions, refuse } from './lib/options.mjs'
import { prepare } from './lib/prepare.mjs'
import { median } from './lib/rates.mjs'
import { disturbed, figure, printSummary, writeJson } from './lib/report.mjs'
import { roundingOf } from './lib/rounding.mjs'

const bin = fileURLToPath(new URL('../packages/slipway/bin.mjs', import.meta.url))
const own = /** @type {const} */ ([['context', '64', 'tokens before the step']])
const common = ['shape', 'rounds', 'retries', 'quantization', 'threads', 'json']
const { shape, rounds, retries, quantization, threads, json, own: flags } = readOptions('overhead', own, common)
const { checkpoint } = await prepare(shape, { gguf: false, quantization })
const { quantization: layers, headQuantization: head } = roundingOf(quantization)
const args = ['bench', checkpoint, '--profile', '--device', 'cpu', '--threads', String(threads), '--rounds', '3']
args.push('--context', String(flags['context'][0]))
if (layers) args.push('--quantization', layers, '--head-quantization', head)

/** @typedef {{ step: number, outside: Record<string, number>, speed: { bandwidth: number, peak: number } }} Profile */

/** One process; `others` is the share of all cores that other processes took meanwhile. @param {string} file */
async function profile(file) {
  const [start, busy, used] = [performance.now(), busyTime(), ownTime()]
  const { status, stderr } = spawnSync(process.execPath, [bin, ...args, '--json', file], { encoding: 'utf8' })
  if (status !== 0) refuse(stderr)
  const { cores } = describeMachine()
  const others = (busyTime() - busy - (ownTime() - used)) / ((performance.now() - start) * cores)
  return { .../** @type {Profile} */ (JSON.parse(await readFile(file, 'utf8'))), others: Math.max(0, others) }
}

/** The least disturbed one of a round. @param {string} file */
async function profileCalmly(file) {
  let best = await profile(file)
  for (let i = 0; i < retries && best.others > disturbed; i++) {
    const again = await profile(file)
    if (again.others < best.others) best = again
  }
  return best
}

const folder = await mkdtemp(join(tmpdir(), 'slipway-overhead-'))
/** @type {Awaited<ReturnType<typeof profile>>[]} */
const profiles = []
try {
  for (let round = 1; round <= rounds; round++) {
    const one = await profileCalmly(join(folder, 'profile.json'))
    profiles.push(one)
    const marks = one.others > disturbed ? `  disturbed: other processes took ${(100 * one.others).toFixed(0)} %` : ''
    console.log(`round ${round}  step ${(1e3 * one.step).toFixed(2)} ms, outside ${figure(whole(one))} %${marks}`)
  }
} finally {
  await rm(folder, { recursive: true })
}

/** @param {Profile} profile */
function whole({ step, outside }) {
  return (100 * Object.values(outside).reduce((a, b) => a + b, 0)) / step
}

const parts = Object.keys(profiles[0].outside)
const cases = [
  { label: 'outside of kernels', values: profiles.map(whole) },
  ...parts.map((name) => ({
    label: `of it ${name}`,
    values: profiles.map(({ step, outside }) => (100 * outside[name]) / step),
  })),
]
/** @type {import('./lib/harness.mjs').Result} */
const result = {
  bench: 'overhead',
  shape,
  quantization,
  threads,
  rounds,
  unit: '%',
  machine: describeMachine(),
  speed: {
    bandwidth: median(profiles.map(({ speed }) => speed.bandwidth)),
    peak: median(profiles.map(({ speed }) => speed.peak)),
  },
  others: median(profiles.map(({ others }) => others)),
  contestants: [{ name: 'slipway', info: { step: median(profiles.map(({ step }) => step)) } }],
  cases: cases.map(({ label, values }) => ({
    label,
    values: { slipway: values },
    medians: { slipway: median(values) },
    ratios: {},
  })),
}
printSummary(result)
if (json) await writeJson(json, result)
