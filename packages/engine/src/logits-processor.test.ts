import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LLM } from './index.ts'
import { addRequest, Answers, drain, openEngine, type Answer } from './testing/harness.ts'

// Plugins as users write them: modules on disk, loaded by the engine.

const sources = {
  only: `
    export const logitsProcessor = {
      name: 'only',
      open(args, { vocabSize }) {
        if (!args.ids?.every((id) => id < vocabSize)) throw new Error('ids must be a list of token ids')
        return {
          apply(logits, tokenIds) {
            const step = tokenIds.length % args.ids.length
            const kept = logits[args.ids[step]]
            logits.fill(-Infinity)
            if (!args.nothing) logits[args.ids[step]] = kept
          },
        }
      },
    }`,
  fails: `
    export const logitsProcessor = {
      name: 'fails',
      open: (after, { promptTokenIds }) => ({
        apply(logits, tokenIds) {
          if (tokenIds.length < promptTokenIds.length + after) return
          if (after === 0) logits[3] = NaN
          else throw new Error('out of luck')
        },
      }),
    }`,
  empty: 'export const other = 1',
  broken: 'export const = 1',
  twin: `export const logitsProcessor = { name: 'only', open: () => ({ apply() {} }) }`,
}

let folder = ''
const pathOf = (name: string): string => join(folder, `${name}.mjs`)
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-plugins-'))
  for (const [name, source] of Object.entries(sources)) await writeFile(pathOf(name), source)
})
afterAll(() => rm(folder, { recursive: true }))

describe.each(['reference', 'auto'] as const)('on %s', (device) => {
  test('rows of requests that ask go through a plugin, others do not', async () => {
    const opened = await openEngine({ device, logitsProcessors: [pathOf('only'), pathOf('fails')] })
    expect(opened.info.logitsProcessors).toEqual(['only', 'fails'])
    const { engine } = opened
    const free = { temperature: 0, maxTokens: 6, logprobs: 1 }
    addRequest(engine, 'free', [5, 6, 7], free)
    const expected = (await drain(engine)).get('free/0')
    addRequest(engine, 'free', [5, 6, 7], free)
    const args = { only: { ids: [3, 9] } }
    addRequest(engine, 'only', [5, 6, 7], { ...free, logitsProcessorsArgs: args })
    addRequest(engine, 'banned', [5, 6, 7], { ...free, logitsProcessorsArgs: args, badWordsTokenIds: [9] })
    addRequest(engine, 'args', [5, 6, 7], { logitsProcessorsArgs: { only: { ids: ['x', 1e9] } }, n: 2 })
    addRequest(engine, 'fails', [5, 6, 7], { ...free, logitsProcessorsArgs: { fails: 2 } })
    addRequest(engine, 'nan', [5, 6, 7], { ...free, logitsProcessorsArgs: { fails: 0 } })
    addRequest(engine, 'nothing', [5, 6, 7], { logitsProcessorsArgs: { only: { ids: [3], nothing: true } } })
    addRequest(engine, 'unknown', [5, 6, 7], { logitsProcessorsArgs: { other: {} } })
    const all = await drain(engine, new Answers())
    expect(all.get('free/0')).toEqual(expected)
    const only = all.get('only/0') as Answer
    expect(only.tokenIds).toEqual([9, 3, 9, 3, 9, 3])
    // log-probabilities stay the model's own
    expect(only.logprobs[0]!.top).toEqual(expected!.logprobs[0]!.top)
    const errors = Object.fromEntries([...all].map(([key, { error }]) => [key, error]))
    expect(errors).toEqual({
      'free/0': undefined,
      'only/0': undefined,
      'banned/0': 'logitsProcessorsArgs: only left no token to go on with',
      'args/0': 'logitsProcessorsArgs: only: ids must be a list of token ids',
      'args/1': 'logitsProcessorsArgs: only: ids must be a list of token ids',
      'fails/0': 'logits processor fails failed: out of luck',
      'nan/0': 'logits processor fails made a logit NaN',
      'nothing/0': 'logitsProcessorsArgs: only left no token to go on with',
      'unknown/0': 'logitsProcessorsArgs: no logits processor "other"; there are only, fails',
    })
    expect(all.get('fails/0')!.tokenIds).toHaveLength(2)
    opened.device.close()
  })
})

test.each([
  ['empty', 'exports no logitsProcessor'],
  ['broken', 'Unexpected token'],
  ['missing', 'Cannot find module'],
  ['twin', 'another module has the name only'],
])('a module that cannot be used is named: %s', async (name, message) => {
  const paths = [pathOf('only'), pathOf(name)]
  await expect(openEngine({ logitsProcessors: paths })).rejects.toThrow(`option logitsProcessors: ${paths[1]}`)
  await expect(openEngine({ logitsProcessors: paths })).rejects.toThrow(message)
})

test('through the offline API', async () => {
  await using llm = await LLM.load(miniModelDirectory, { maxModelLen: 128, logitsProcessors: [pathOf('only')] })
  const [id] = llm.tokenizer.encode(' two')
  const { outputs } = await llm.generate('one', { logitsProcessorsArgs: { only: { ids: [id] } }, maxTokens: 3 })
  expect(outputs[0]!.text).toBe(' two two two')
  expect(() => llm.submit('one', { logitsProcessorsArgs: { other: 1 } })).toThrow('no logits processor "other"')
})

test('an answer that repeats itself ends where it is sure for long enough', async () => {
  await using llm = await LLM.load(miniModelDirectory, {
    maxModelLen: 256,
    earlyStopConfig: { windowSize: 6, threshold: 0.5 },
  })
  const params = { temperature: 0, maxTokens: 60, ignoreEos: true, logprobs: 0 }
  const prompt = 'one two three'
  const free = (await llm.generate(prompt, { ...params, earlyStop: false })).outputs[0]!
  const sure = free.logprobs!.map(({ logprob }) => Math.exp(logprob) > 0.5)
  const end = sure.findIndex((_, i) => i >= 5 && sure.slice(i - 5, i + 1).every(Boolean)) + 1
  expect(end).toBeGreaterThan(5)
  const { finishReason, stopReason, tokenIds, text } = (await llm.generate(prompt, params)).outputs[0]!
  expect({ finishReason, stopReason, tokenIds }).toEqual({
    finishReason: 'stop',
    stopReason: 'repetition',
    tokenIds: free.tokenIds.slice(0, end),
  })
  // the last token is no end of text: it shows
  expect(text).toBe(llm.tokenizer.decode(tokenIds))
  const own = await llm.generate(prompt, { ...params, earlyStop: { windowSize: 1, threshold: 0 }, logprobs: undefined })
  expect(own.outputs[0]).toMatchObject({ stopReason: 'repetition', tokenIds: free.tokenIds.slice(0, 1) })
  expect(own.outputs[0]).not.toHaveProperty('logprobs')
})
