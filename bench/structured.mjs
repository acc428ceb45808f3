// @ts-check
// What a grammar costs per token: steps with a mask beside the same steps without, in turns, on one model.
//   node bench/structured.mjs [model directory] [tokens] [sequences] [rounds]
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'

const [directory = miniModelDirectory, tokens = '120', sequences = '1', rounds = '5'] = process.argv.slice(2)
const maxTokens = Number(tokens)
const prompts = Array.from({ length: Number(sequences) }, (_, i) => [10 + i, 20, 30])
/** @param {object} name */
const people = (name) => {
  const person = { type: 'object', properties: { name, age: { type: 'integer' } }, required: ['name', 'age'] }
  return { structuredOutputs: { json: { type: 'array', items: person, minItems: 2000 }, disableAnyWhitespace: true } }
}
/** All go on until the limit, so that every case makes the same number of tokens. */
const cases = {
  free: {},
  'free, with a bias': { logitBias: { 5: -1 } },
  'regex [a-z ]*0': { structuredOutputs: { regex: '[a-z ]*0' } },
  'list of objects': people({ type: 'string' }),
  // their masks cannot all be prepared (docs/design/grammar.md)
  'with counted strings': people({ type: 'string', minLength: 20, maxLength: 60 }),
}

const llm = await LLM.load(directory, { maxModelLen: 1024, quantization: 'wint4', headQuantization: 'wint8' })

/** Milliseconds per token: the median over the steps of one answer. */
async function measure(/** @type {object} */ change, /** @type {number} */ seed) {
  /** @type {number[]} */
  const arrivals = []
  const params = { maxTokens, temperature: 1, seed, ignoreEos: true, ...change }
  for await (const event of llm.generate(prompts, params, { stream: true }))
    if (event.type === 'delta' && event.prompt === 0) arrivals.push(performance.now())
  // the first token waits for its prompt
  return median(arrivals.slice(2).map((time, i) => time - (arrivals[i + 1] ?? 0)))
}

const median = (/** @type {readonly number[]} */ values) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

/** @type {Map<string, number[]>} */
const times = new Map(Object.keys(cases).map((name) => [name, []]))
for (let round = 0; round <= Number(rounds); round++)
  for (const [name, change] of Object.entries(cases)) {
    const time = await measure(change, round)
    // the first round compiles
    if (round > 0) times.get(name)?.push(time)
  }
const free = times.get('free') ?? []
for (const [name, values] of times) {
  // of the same round, so that what the machine does meanwhile meets both
  const ratios = values.map((time, round) => (time / (free[round] ?? NaN) - 1) * 100)
  const spread = `${Math.min(...ratios).toFixed(1)} to ${Math.max(...ratios).toFixed(1)}`
  console.log(
    `${name.padEnd(20)} ${median(values).toFixed(3)} ms per token, ${median(ratios).toFixed(1)} % over free (${spread})`,
  )
}
await llm.close()
