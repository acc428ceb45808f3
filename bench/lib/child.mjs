// @ts-check
// A contestant's own process: loads a model once, then does what it is told and answers with times of arrival.
import { ownTime } from './machine.mjs'
import { random } from './random-bytes.mjs'
import { answerMessages } from './remote.mjs'

/**
 * What a contestant needs to load its model.
 *
 * @typedef {object} Settings
 * @property {string} model directory or file
 * @property {number} vocab
 * @property {number} threads
 * @property {string} quantization of our side
 * @property {number} context tokens of the longest sequence
 * @property {number} sequences
 * @property {number} batchTokens most tokens of one step
 */

/**
 * A loaded model. `run` answers with the milliseconds since its start at which each token of each sequence came.
 *
 * @typedef {object} Runner
 * @property {Readonly<Record<string, unknown>>} info
 * @property {(prompts: readonly number[][], tokens: number) => Promise<number[][]>} run
 * @property {() => Promise<void>} [close] finishes what it does in the background
 */

/** @type {Runner | undefined} */
let runner

/**
 * Random ids, other ones for every sequence; the last token of the vocabulary ends a text and stays out.
 *
 * @param {import('./rates.mjs').Task} task
 * @param {number} vocab
 */
function promptsOf({ prompt, sequences }, vocab) {
  const next = random(7)
  return Array.from({ length: sequences }, () => Array.from({ length: prompt }, () => Math.floor(next() * (vocab - 1))))
}

/** @param {{ module: string, settings: Settings, task: import('./rates.mjs').Task }} message */
async function answer({ module, settings, task }) {
  /** @type {{ open: (settings: Settings) => Promise<Runner> }} */
  const contestant = await import(module)
  runner ??= await contestant.open(settings)
  const arrivals = await runner.run(promptsOf(task, settings.vocab), task.tokens)
  return { info: runner.info, arrivals, cpuTime: ownTime() }
}

answerMessages(answer, () => runner?.close?.())
