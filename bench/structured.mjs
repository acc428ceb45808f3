// @ts-check
// What a grammar costs per token: steps with a mask beside the same steps without, in turns, on one model.
//   node bench/structured.mjs [model directory] [tokens] [sequences]
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'

const [directory = miniModelDirectory, tokens = '120', sequences = '1'] = process.argv.slice(2)
const maxTokens = Number(tokens)
const prompts = Array.from({ length: Number(sequences) }, (_, i) => [10 + i, 20, 30])
const string = { type: 'string', minLength: 20, maxLength: 60 }
const person = { type: 'object', properties: { name: string, age: { type: 'integer' } }, required: ['name', 'age'] }
/** All go on until the limit, so that every case makes the same number of tokens. */
const cases = {
  free: undefined,
  // what leaving the captured step costs, without any grammar
  'free, with a bias': undefined,
  'regex (.|\\n)*': { regex: '(.|\\n)*' },
  'regex [a-z ]*': { regex: '[a-z ]*' },
  'list of objects': { json: { type: 'array', items: person, minItems: 2000 }, disableAnyWhitespace: true },
}

const llm = await LLM.load(directory, { maxModelLen: 1024, quantization: 'wint4' })
/** @type {Map<string, number[]>} */
const times = new Map(Object.keys(cases).map((name) => [name, []]))
for (let round = 0; round < 4; round++)
  for (const [name, structuredOutputs] of Object.entries(cases)) {
    const params = {
      maxTokens,
      temperature: 1,
      seed: round,
      ignoreEos: true,
      ...(structuredOutputs && { structuredOutputs }),
      ...(name.includes('bias') && { logitBias: { 5: -1 } }),
    }
    /** @type {number[]} */
    const arrivals = []
    for await (const event of llm.generate(prompts, params, { stream: true }))
      if (event.type === 'delta' && event.prompt === 0) arrivals.push(performance.now())
    // the first round compiles; the first token of each waits for its prompt
    if (round > 0) times.get(name)?.push(...arrivals.slice(2).map((time, i) => time - (arrivals[i + 1] ?? 0)))
  }
const middle = (/** @type {number[]} */ values) =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN
const mean = (/** @type {number[]} */ values) => values.reduce((a, b) => a + b, 0) / values.length
const free = times.get('free') ?? []
for (const [name, values] of times) {
  const over = (/** @type {number} */ value, /** @type {number} */ base) => `${((value / base - 1) * 100).toFixed(1)} %`
  console.log(
    `${name.padEnd(18)} median ${middle(values).toFixed(3)} ms (+${over(middle(values), middle(free))}), ` +
      `mean ${mean(values).toFixed(3)} ms (+${over(mean(values), mean(free))})`,
  )
}
await llm.close()
