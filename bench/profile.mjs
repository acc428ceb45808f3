// @ts-check
// Time per op of one step. Each op runs alone, in the order of the step so that the caches hold what they would hold,
// on the very inputs that the step gave it; the time of an op that does nothing is taken off.
import { openCheckpoint } from '@slipway/checkpoint'
import { loadModel } from '@slipway/models'
import { add, cpuDevice, measureMachine, sample } from '@slipway/tensor'
import { readOptions, refuse } from './lib/options.mjs'
import { roundingOf } from './lib/rounding.mjs'
import { prepare } from './lib/prepare.mjs'
import { median } from './lib/rates.mjs'
import { figure } from './lib/report.mjs'
import { prepareStep } from './lib/step.mjs'

/** @typedef {import('@slipway/tensor').Device} Device */
/** @typedef {import('@slipway/tensor').Step} Step */

const options = readOptions(
  'profile',
  [
    ['rows', '1', 'tokens of each sequence: 1 is decode, more is prefill'],
    ['sequences', '1', 'sequences of the step'],
    ['context', '0', 'tokens before'],
  ],
  ['shape', 'rounds', 'quantization', 'threads'],
)
const [rows, sequences, context] = ['rows', 'sequences', 'context'].map((flag) => options.own[flag][0])
const speed = measureMachine(options.threads)
if (!speed) refuse('the native kernels are not built: npm run build tells why')
const { checkpoint } = await prepare(options.shape, { gguf: false })
const device = cpuDevice({ threads: options.threads })
const model = await loadModel(await openCheckpoint(checkpoint), device, {
  dtype: 'bf16',
  ...roundingOf(options.quantization),
})
const { record } = prepareStep(device, model, { rows, sequences, context })
const greedy = device.tensor(Array.from({ length: sequences }, () => [0, 0, 1, 0]).flat(), [sequences, 4], 'f32')
const seeds = device.tensor(new Uint32Array(2 * sequences), [sequences, 2], 'u32')
const places = device.tensor(new Uint32Array(sequences), [sequences], 'u32')
const recordStep = () => sample(record(), greedy, seeds, places)

/** Recording is fast once it has been compiled. */
const numWarmUps = 50

const whole = await timeWhole()
const steps = await keepEverything()
const idle = median(await repeat(200, timeNothing))
const passes = await repeat(options.rounds, async () => {
  const times = []
  for (const { op, inputs, attributes } of steps)
    times.push((await timeRecorded(() => device.record(op, inputs, attributes))) - idle)
  return times
})
// the timer's noise can make the smallest ops less than nothing
report(steps.map((_, i) => Math.max(0.0005, median(passes.map((times) => times[i])))))
device.close()

/** Milliseconds of recording and of running the step as the engine does; medians. */
async function timeWhole() {
  const times = await repeat(numWarmUps + 10 * options.rounds, async () => {
    const start = performance.now()
    const sampled = recordStep()
    const recorded = performance.now()
    await device.run([sampled])
    return { record: recorded - start, run: performance.now() - recorded }
  })
  const measured = times.slice(numWarmUps)
  return { record: median(measured.map((t) => t.record)), run: median(measured.map((t) => t.run)) }
}

/** Runs the step once more so that all results in between stay readable. @returns {Promise<readonly Step[]>} */
async function keepEverything() {
  const original = device.record
  /** @type {import('@slipway/tensor').Tensor[]} */
  const results = []
  device.record = (op, inputs, attributes) => {
    const outputs = original.call(device, op, inputs, attributes)
    results.push(...outputs)
    return outputs
  }
  recordStep()
  device.record = original
  return (await device.run(results)).steps
}

/** @param {() => void} recordOne */
async function timeRecorded(recordOne) {
  recordOne()
  const start = performance.now()
  await device.run([])
  return performance.now() - start
}

function timeNothing() {
  const one = device.tensor([1], [1, 1], 'f32')
  return timeRecorded(() => add(one, one))
}

/**
 * @template T
 * @param {number} times
 * @param {() => Promise<T>} action
 */
async function repeat(times, action) {
  /** @type {T[]} */
  const results = []
  for (let i = 0; i < times; i++) results.push(await action())
  return results
}

/** @param {readonly number[]} times milliseconds of each step */
function report(times) {
  /** @type {Map<string, { calls: number, ms: number, flops: number, bytes: number }>} */
  const groups = new Map()
  for (const [i, { op, inputs, outputs, attributes }] of steps.entries()) {
    const shapes = [inputs[op.rowInputs[0] ?? 0], ...outputs].map((tensor) => tensor?.shape.join('x'))
    const key = `${op.name} ${shapes.join(' to ')}`
    const group = groups.get(key) ?? { calls: 0, ms: 0, flops: 0, bytes: 0 }
    const { flops, bytes } = op.cost(inputs, outputs, attributes)
    groups.set(key, {
      calls: group.calls + 1,
      ms: group.ms + times[i],
      flops: group.flops + flops,
      bytes: group.bytes + bytes,
    })
  }
  const total = whole.record + whole.run
  const kernels = times.reduce((a, b) => a + b, 0)
  console.log(
    `${options.shape}, ${options.quantization}, ${device.name}: ${sequences} x ${rows} tokens after ${context}`,
  )
  console.log(`reads ${figure(speed?.bandwidth ?? 0)} GB/s, f32 peak ${figure(speed?.peak ?? 0)} GFLOP/s`)
  const header = ['op', 'calls', 'us', '% step', 'GB/s', 'GFLOP/s']
  const lines = [...groups]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([key, { calls, ms, flops, bytes }]) => {
      const share = (100 * ms) / total
      const rates = [bytes, flops].map((amount) => figure(amount / ms / 1e6))
      return [key, String(calls), (1000 * ms).toFixed(0), share.toFixed(1), ...rates]
    })
  const widths = header.map((_, i) => Math.max(...[header, ...lines].map((line) => line[i].length)))
  for (const line of [header, ...lines])
    console.log(line.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i] + 2))).join(''))
  const us = (/** @type {number} */ ms) => `${(1000 * ms).toFixed(0)} us`
  console.log(`recording ${us(whole.record)}, running ${us(whole.run)}, all ops alone ${us(kernels)}`)
  console.log(`outside of kernels: ${((100 * (total - kernels)) / total).toFixed(1)} % of the step`)
}
