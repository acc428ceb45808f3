// @ts-check
// What a grammar costs: the time of a step in which every sequence has a mask beside that of the same step without; and
// of the embedded model, whose steps are the shortest, what texts of random schemas cost that it has not seen before.
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { SchemaMaker } from '../packages/engine/dist/testing/schemas.js'
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
/** A round of the embedded model takes milliseconds, so it has so many more; the first part of them warms up. */
const miniRounds = 10
/** Schemas before those that are measured. */
const warmSchemas = 100
const sides = /** @type {const} */ (['without', 'with a grammar'])

await measureLatency('structured', {
  flags: [
    ['tokens', '24', 'new tokens of each sequence'],
    ['sequences', '1,8', 'that decode together'],
    ['rounds', '12', 'each of an answer without and one with every grammar; ten times as many of the embedded model'],
    ['schemas', '300', 'random ones, each for texts of the embedded model'],
  ],
  sides,
  engine: ({ tokens: [tokens], sequences }) => ({ maxModelLen: tokens + 16, maxNumSeqs: Math.max(...sequences) }),
  async measure(llm, own, vocab) {
    const rows = await measureCases(llm, own, vocab, '')
    const {
      tokens: [tokens],
      sequences,
    } = own
    const maxModelLen = Math.max(tokens + 16, 512)
    const mini = await LLM.load(miniModelDirectory, { maxModelLen, maxNumSeqs: Math.max(...sequences) })
    try {
      const rounds = own['rounds'].map((count) => miniRounds * count)
      rows.push(...(await measureCases(mini, { ...own, rounds }, mini.info.vocabSize, 'embedded model, ')))
      // these are one text at a time
      return sequences.includes(1) ? [...rows, ...(await measureSchemas(mini, own['schemas'][0]))] : rows
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
  // the first round compiles
  const numWarm = Math.max(1, Math.floor(rounds / 10))
  for (let round = 0; round < rounds + numWarm; round++)
    for (const { prompts, params, values } of cases) {
      const turns = round % 2 === 0 ? [0, 1] : [1, 0]
      for (const side of turns) {
        const time = await stepTime(llm, prompts, { maxTokens: tokens, seed: round, ...(side === 1 ? params : {}) })
        if (round >= numWarm) values[side].push(time)
      }
    }
  return cases.map(latencyOf)
}

/** A row of the table, of values by side. @param {{ label: string, values: number[][] }} row */
function latencyOf({ label, values }) {
  return {
    label,
    values: Object.fromEntries(sides.map((side, i) => [side, values[i]])),
    medians: Object.fromEntries(sides.map((side, i) => [side, median(values[i])])),
  }
}

/**
 * The steps that bring the first answer: when they are over, in milliseconds, and how many tokens each brings.
 *
 * @param {LLM} llm
 * @param {number[][]} prompts
 * @param {object} params
 */
async function arrivalsOf(llm, prompts, params) {
  /** @type {{ time: number, count: number }[]} */
  const arrivals = []
  for await (const event of llm.generate(prompts, { temperature: 1, ...params }, { stream: true }))
    if (event.type === 'delta' && event.prompt === 0)
      arrivals.push({ time: performance.now(), count: event.tokenIds.length })
  return arrivals
}

/** Median milliseconds of the steps of the first answer, for each of their tokens. @param {LLM} llm @param {number[][]} prompts @param {object} params */
async function stepTime(llm, prompts, params) {
  const arrivals = await arrivalsOf(llm, prompts, { ignoreEos: true, ...params })
  // the first token waits for its prompt
  return median(arrivals.slice(2).map(({ time, count }, i) => (time - arrivals[i + 1].time) / count))
}

/**
 * Texts of schemas, in turn with free texts of as many tokens: the first of a schema, the same once more, and another; and
 * all of them, whether new or not.
 *
 * @param {LLM} llm
 * @param {number} count
 */
async function measureSchemas(llm, count) {
  const rows = ['the first text of a schema', 'the same again', 'another text'].map((label) => ({
    label: `embedded model, ${label}`,
    values: sides.map(() => /** @type {number[]} */ ([])),
  }))
  // others come first, since fresh code is slow
  for (let i = -warmSchemas; i < count; i++) {
    const number = i < 0 ? count - i : i + 1
    const structuredOutputs = { json: new SchemaMaker(number).make(), disableAnyWhitespace: i % 2 === 0 }
    await llm.prepare({ structuredOutputs })
    for (const [j, { values }] of rows.entries()) {
      const seed = j < 2 ? number : number + 2 * count
      const constrained = await tokenTime(llm, { structuredOutputs, seed, maxTokens: 400 })
      const free = await tokenTime(llm, { seed, ignoreEos: true, maxTokens: constrained.tokens })
      // a few tokens tell nothing
      if (i < 0 || constrained.tokens < 8) continue
      for (const [side, { time }] of [free, constrained].entries()) values[side].push(time)
    }
  }
  const all = {
    label: 'embedded model, all of these',
    values: sides.map((_, i) => rows.flatMap(({ values }) => values[i])),
  }
  return [...rows, all].map(latencyOf)
}

/** Mean milliseconds per token behind the first two steps: the first waits for its prompt and grammar. @param {LLM} llm @param {object} params */
async function tokenTime(llm, params) {
  const arrivals = await arrivalsOf(llm, [[5, 6, 7]], params)
  const [tokens, before] = [arrivals, arrivals.slice(0, 2)].map((steps) =>
    steps.reduce((sum, { count }) => sum + count, 0),
  )
  return { tokens, time: (arrivals[arrivals.length - 1].time - arrivals[1].time) / (tokens - before) }
}
