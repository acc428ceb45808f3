import { fileURLToPath } from 'node:url'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LLM } from './llm.ts'
import type { SamplingParams } from './sampling-params.ts'

// Where a grammar leaves one token, it is taken without asking the model. Whoever wants log-probabilities is told the
// model's of every token, so such requests go step by step: the same answers must come of them.

const poet = fileURLToPath(new URL('../../models/fixtures-adapters/mini/lora-18', import.meta.url))
let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 256, maxNumSeqs: 8, loraModules: { poet } })
})
afterAll(() => llm.close())

const words = 'zqxjvkw zqxjvkwp'

/** An answer as a stream, with the number of its steps. */
async function stream(params: SamplingParams, prompts = [[5, 6, 7]], lora?: string) {
  const answer = { ids: [] as number[], text: '', finish: '', stop: null as string | number | null, steps: 0, usage: 0 }
  for await (const event of llm.generate(
    prompts,
    { temperature: 1, ...params },
    { stream: true, ...(lora && { lora }) },
  )) {
    if (event.prompt !== 0) continue
    if (event.type === 'delta') {
      answer.ids.push(...event.tokenIds)
      answer.text += event.text
      answer.steps++
    } else if (event.type === 'finish') [answer.finish, answer.stop] = [event.finishReason, event.stopReason]
    else if (event.type === 'usage') answer.usage = event.usage.completionTokens
  }
  return answer
}

/** The same asked for in both ways; returns it with the number of steps saved. */
async function both(params: SamplingParams, lora?: string) {
  const { steps: stepByStep, ...expected } = await stream({ ...params, logprobs: 0 }, undefined, lora)
  expect(stepByStep).toBe(expected.ids.length)
  const { steps, ...answer } = await stream(params, undefined, lora)
  expect(answer).toEqual(expected)
  expect(answer.usage).toBe(answer.ids.length)
  return { ...answer, saved: stepByStep - steps }
}

describe('answers are the same, in fewer steps', () => {
  test('to the end', async () => {
    const { text, finish, saved } = await both({ structuredOutputs: { choice: [words] }, seed: 1 })
    expect(text).toBe(words)
    expect(finish).toBe('stop')
    expect(saved).toBeGreaterThan(3)
  })

  test('whatever the seed, and with penalties', async () => {
    const json = {
      type: 'object',
      properties: { zq: { enum: ['xvk', 'xvj'] }, b: { type: 'null' } },
      required: ['zq', 'b'],
    }
    let saved = 0
    for (let seed = 0; seed < 12; seed++) {
      const params = { structuredOutputs: { json }, seed, ...(seed % 3 === 0 && { repetitionPenalty: 1.3 }) }
      const answer = await both({ ...params, maxTokens: 120 })
      if (answer.finish === 'stop') expect(JSON.parse(answer.text)).toHaveProperty('b', null)
      saved += answer.saved
    }
    expect(saved).toBeGreaterThan(12)
  })

  test('cut by maxTokens', async () => {
    const { ids } = await both({ structuredOutputs: { choice: [words] }, seed: 1 })
    for (let maxTokens = 1; maxTokens < ids.length; maxTokens++) {
      const cut = await both({ structuredOutputs: { choice: [words] }, seed: 1, maxTokens })
      expect(cut.ids).toEqual(ids.slice(0, maxTokens))
      expect(cut.finish).toBe('length')
    }
  })

  test('ended by a stop string among them, or a stop token', async () => {
    const { ids } = await both({ structuredOutputs: { choice: [words] }, seed: 1 })
    for (const stop of ['x', 'vk', 'w z', 'kwp']) {
      const {
        text,
        finish,
        stop: reason,
      } = await both({ structuredOutputs: { choice: [words] }, seed: 1, stop: [stop] })
      expect(text).toBe(words.slice(0, words.indexOf(stop)))
      expect([finish, reason]).toEqual(['stop', stop])
    }
    for (const id of new Set(ids))
      expect((await both({ structuredOutputs: { choice: [words] }, seed: 1, stopTokenIds: [id] })).stop).toBe(id)
  })

  test('with an adapter', async () => {
    const params = { structuredOutputs: { regex: '([a-z]{2,6} zqxjvkw )*' }, maxTokens: 90, seed: 3 }
    const [plain, adapted, again] = [await both(params), await both(params, 'poet'), await both(params)]
    expect(adapted.saved).toBeGreaterThan(3)
    expect(adapted.text).not.toBe(plain.text)
    expect(again).toEqual(plain)
  })

  test('beside others, where the step has room for fewer', async () => {
    const params = { structuredOutputs: { choice: [words] }, seed: 1 }
    const alone = await stream(params)
    for (const count of [2, 3, 4, 8]) {
      const prompts = Array.from({ length: count }, (_, i) => (i === 0 ? [5, 6, 7] : [9 + i, 6]))
      const { ids, steps } = await stream(params, prompts)
      expect(ids).toEqual(alone.ids)
      expect(steps).toBeGreaterThanOrEqual(alone.steps)
    }
  })
})

test('what else the request says of its tokens is kept', async () => {
  const structuredOutputs = { choice: ['p'] }
  const { ids } = await stream({ structuredOutputs })
  const others = Array.from({ length: 4000 }, (_, id) => id).filter((id) => !ids.includes(id))
  for (const params of [{ badWordsTokenIds: [ids] }, { allowedTokenIds: others }])
    await expect(stream({ structuredOutputs, ...params })).rejects.toThrow(/leave no token to go on with/)
})
