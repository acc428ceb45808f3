// @ts-check
import { LLM } from '@slipway/engine'
import { measureMachine } from '@slipway/tensor'
import { busyTime, describeMachine, ownTime } from './machine.mjs'
import { readOptions, refuse } from './options.mjs'
import { prepare } from './prepare.mjs'
import { printSummary, writeJson } from './report.mjs'
import { roundingOf } from './rounding.mjs'
import { shapes } from './shapes.mjs'

/**
 * One row: figures of our side alone, or by side where several ways to run it are compared.
 *
 * @typedef {{ label: string, values: readonly number[], value: number }
 *   | { label: string, values: Record<string, number[]>, medians: Record<string, number> }} Latency
 */

/**
 * A measurement of our side alone, in milliseconds: opens the model, measures, and tells the result in the form of the
 * others.
 *
 * @param {string} bench
 * @param {object} plan
 * @param {readonly import('./options.mjs').Flag[]} plan.flags
 * @param {(own: import('./options.mjs').Options['own']) => import('@slipway/engine').EngineOptions} plan.engine
 * @param {readonly string[]} [plan.sides] what is compared, where it is not one side alone
 * @param {(llm: LLM, own: import('./options.mjs').Options['own'], vocab: number) => Promise<Latency[]>} plan.measure
 */
export async function measureLatency(bench, { flags, engine, sides = ['slipway'], measure }) {
  const options = readOptions(bench, flags, ['shape', 'quantization', 'threads', 'batch-tokens', 'json'])
  const { shape, quantization, threads, batchTokens, own } = options
  const { checkpoint } = await prepare(shape, { gguf: false, quantization })
  const llm = await LLM.load(checkpoint, {
    device: 'cpu',
    threads,
    maxNumBatchedTokens: batchTokens,
    ...roundingOf(quantization),
    ...engine(own),
  })
  try {
    const speed = measureMachine(threads) ?? refuse('the native kernels are not built: npm run build tells why')
    const [busy, used, start] = [busyTime(), ownTime(), performance.now()]
    const cases = await measure(llm, own, shapes[shape].vocab)
    const ours = ownTime() - used
    const machine = describeMachine()
    const elapsed = performance.now() - start
    const others = (busyTime() - busy - ours) / (elapsed * machine.cores)
    /** @type {import('./harness.mjs').Result} */
    const result = {
      bench,
      shape,
      quantization,
      threads,
      rounds: own['rounds']?.[0] ?? 1,
      unit: 'ms',
      machine,
      speed,
      others: Math.max(0, others),
      contestants: sides.map((name) => ({
        name,
        info: { device: llm.info.device, kvCacheDtype: llm.info.kvCacheDtype },
      })),
      cases: cases.map((row) => ({
        label: row.label,
        ...('medians' in row
          ? { values: row.values, medians: row.medians }
          : { values: { slipway: [...row.values] }, medians: { slipway: row.value } }),
        ratios: {},
      })),
    }
    printSummary(result)
    if (options.json) await writeJson(options.json, result)
  } finally {
    await llm.close()
  }
}

/** Token ids that no other `kind` of prompt begins with. @param {number} kind @param {number} length @param {number} vocab */
export function promptOf(kind, length, vocab) {
  return Array.from({ length }, (_, i) => ((kind + 1) * 7919 + i * 104729) % (vocab - 1))
}

/** @param {readonly number[]} values @param {number} share */
export function quantile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
}

/** Milliseconds to the first token of a request. @param {LLM} llm @param {readonly number[]} prompt */
export async function firstToken(llm, prompt) {
  const start = performance.now()
  const stream = llm.submit(prompt, { temperature: 0, maxTokens: 1, ignoreEos: true })
  await stream.result()
  return performance.now() - start
}
