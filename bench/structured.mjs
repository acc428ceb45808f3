// @ts-check
// What a grammar costs: the time of a step in which every sequence has a mask beside that of the same step without.
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { measureLatency, promptOf } from './lib/latency.mjs'
import { median } from './lib/rates.mjs'

/** @param {object} name */
const people = (name) => {
  const person = { type: 'object', properties: { name, age: { type: 'integer' } }, required: ['name', 'age'] }
  return { structuredOutputs: { json: { type: 'array', items: person, minItems: 2000 }, disableAnyWhitespace: true } }
}
/** None comes to its end before the limit, so that all make the same number of tokens. */
const grammars = {
  regex: { structuredOutputs: { regex: '([a-z ]*0)*' } },
  objects: people({ type: 'string' }),
  // their masks cannot all be prepared (docs/design/grammar.md)
  'counted strings': people({ type: 'string', minLength: 20, maxLength: 60 }),
}
const sides = /** @type {const} */ (['without', 'with a grammar'])

await measureLatency('structured', {
  flags: [
    ['tokens', '24', 'new tokens of each sequence'],
    ['sequences', '1,8', 'that decode together'],
    ['rounds', '12', 'each of an answer without and one with every grammar'],
  ],
  sides,
  engine: ({ tokens: [tokens], sequences }) => ({ maxModelLen: tokens + 16, maxNumSeqs: Math.max(...sequences) }),
  async measure(llm, own, vocab) {
    const rows = await measureCases(llm, own, vocab, '')
    const {
      tokens: [tokens],
      sequences,
    } = own
    const mini = await LLM.load(miniModelDirectory, { maxModelLen: tokens + 16, maxNumSeqs: Math.max(...sequences) })
    try {
      return [...rows, ...(await measureCases(mini, own, mini.info.vocabSize, 'embedded model, '))]
    } finally {
      await mini.close()
    }
  },
})

/**
 * @param {LLM} llm
 * @param {import('./lib/options.mjs').Options['own']} own
 * @param {number} vocab
 * @param {string} name
 */
async function measureCases(llm, { tokens: [tokens], sequences, rounds: [rounds] }, vocab, name) {
  const cases = sequences.flatMap((count) =>
    Object.entries(grammars).map(([grammar, params]) => {
      const prompts = Array.from({ length: count }, (_, i) => promptOf(i, 3, vocab))
      const values = sides.map(() => /** @type {number[]} */ ([]))
      return { label: `${name}${grammar}, ${count} at once`, prompts, params, values }
    }),
  )
  for (let round = 0; round <= rounds; round++)
    for (const { prompts, params, values } of cases) {
      const turns = round % 2 === 0 ? [0, 1] : [1, 0]
      for (const side of turns) {
        const time = await stepTime(llm, prompts, { maxTokens: tokens, seed: round, ...(side === 1 ? params : {}) })
        // the first round compiles
        if (round > 0) values[side].push(time)
      }
    }
  return cases.map(({ label, values }) => ({
    label,
    values: Object.fromEntries(sides.map((side, i) => [side, values[i]])),
    medians: Object.fromEntries(sides.map((side, i) => [side, median(values[i])])),
  }))
}

/** Median milliseconds between tokens of the first answer. @param {LLM} llm @param {number[][]} prompts @param {object} params */
async function stepTime(llm, prompts, params) {
  /** @type {number[]} */
  const arrivals = []
  const all = { temperature: 1, ignoreEos: true, ...params }
  for await (const event of llm.generate(prompts, all, { stream: true }))
    if (event.type === 'delta' && event.prompt === 0) arrivals.push(performance.now())
  // the first token waits for its prompt
  return median(arrivals.slice(2).map((time, i) => time - arrivals[i + 1]))
}
