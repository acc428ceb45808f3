// @ts-check
/**
 * One thing to measure: `sequences` prompts of `prompt` tokens at once, and `tokens` new tokens for each.
 *
 * @typedef {object} Task
 * @property {'prefill' | 'decode' | 'load'} kind
 * @property {number} prompt
 * @property {number} tokens
 * @property {number} sequences
 * @property {boolean} [cold] load: with the files out of the system's cache
 */

/**
 * The rate in tokens per second that a task asks for, from the milliseconds at which the tokens of each sequence came.
 * Prefill is the way to the first token. Decode counts only while all sequences are decoding, from the second token on.
 *
 * @param {Task} task
 * @param {readonly (readonly number[])[]} arrivals
 */
export function rateOf({ kind, prompt, sequences }, arrivals) {
  if (kind === 'prefill') return (1000 * sequences * prompt) / Math.max(...arrivals.map((times) => times[0]))
  const from = Math.max(...arrivals.map((times) => times[1]))
  const to = Math.min(...arrivals.map((times) => times.at(-1) ?? 0))
  const tokens = arrivals.flat().filter((time) => time > from && time <= to).length
  return (1000 * tokens) / (to - from)
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
