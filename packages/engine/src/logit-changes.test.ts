import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Engine } from './engine.ts'
import type { SamplingParams } from './sampling-params.ts'
import { addRequest, drain, openEngine, type Answer } from './testing/harness.ts'

let opened: Awaited<ReturnType<typeof openEngine>>
let engine: Engine
beforeAll(async () => {
  opened = await openEngine({ blockSize: 8 })
  engine = opened.engine
})
afterAll(() => opened.device.close())

const prompt = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]
async function ask(params: SamplingParams, ids: readonly number[] = prompt): Promise<Answer> {
  addRequest(engine, 'x', ids, { temperature: 0, maxTokens: 12, ...params })
  return (await drain(engine)).get('x/0')!
}

describe('what may be generated', () => {
  test('only the tokens allowed, the best of them', async () => {
    const allowedTokenIds = [3, 40, 77, 120]
    const { tokenIds, logprobs } = await ask({ allowedTokenIds, logprobs: 20, temperature: 2, seed: 4 })
    expect(new Set(tokenIds).size).toBeGreaterThan(1)
    expect(allowedTokenIds).toEqual(expect.arrayContaining(tokenIds))
    // log-probabilities stay the model's own
    expect(logprobs[0]!.top[0]!.logprob).toBeGreaterThanOrEqual(logprobs[0]!.logprob)
    const greedy = await ask({ allowedTokenIds, maxTokens: 1 })
    const each: Answer['logprobs'] = []
    for (const id of allowedTokenIds)
      each.push((await ask({ allowedTokenIds: [id], logprobs: 0, maxTokens: 1 })).logprobs[0]!)
    const best = each.reduce((a, b, i) => (b.logprob > each[a]!.logprob ? i : a), 0)
    expect(greedy.tokenIds).toEqual([allowedTokenIds[best]])
  })

  test('no bad word, of one token or several; the prompt may hold them', async () => {
    const free = (await ask({})).tokenIds
    const [first, second, third] = free as [number, number, number]
    expect((await ask({ badWordsTokenIds: [first] })).tokenIds).not.toContain(first)
    const pair = await ask({ badWordsTokenIds: [[first, second]] })
    expect(pair.tokenIds[0]).toBe(first)
    expect(pair.tokenIds[1]).not.toBe(second)
    const triple = await ask({ badWordsTokenIds: [[first, second, third]] })
    expect(triple.tokenIds.slice(0, 2)).toEqual([first, second])
    expect(triple.tokenIds[2]).not.toBe(third)
    expect((await ask({ badWordsTokenIds: [[14, first]] })).tokenIds).toEqual(free)
  })

  test('minTokens gives way where nothing but an end is left', async () => {
    const ends = await ask({ allowedTokenIds: [7], stopTokenIds: [7], minTokens: 3 })
    expect(ends).toMatchObject({ tokenIds: [7], finishReason: 'stop' })
    const goes = await ask({ allowedTokenIds: [7, 8], stopTokenIds: [7], minTokens: 3, maxTokens: 5 })
    expect(goes.tokenIds.slice(0, 3)).toEqual([8, 8, 8])
  })

  test('what leaves no token ends its own request, naming why', async () => {
    addRequest(engine, 'bad', prompt, { allowedTokenIds: [7, 8], badWordsTokenIds: [7, [8, 8]], n: 2 })
    addRequest(engine, 'good', prompt, { temperature: 0, maxTokens: 12 })
    const all = await drain(engine)
    for (const index of [0, 1])
      expect(all.get(`bad/${index}`)).toMatchObject({
        tokenIds: [8],
        finishReason: 'error',
        error: 'allowedTokenIds and badWords leave no token to go on with; loosen one of them',
      })
    expect(all.get('good/0')).toEqual(await ask({}))
  })
})

describe('log-probabilities of a prompt', () => {
  test('are those of the tokens if they were generated one by one, to the bit', async () => {
    const { promptLogprobs } = await ask({ promptLogprobs: 2 })
    expect(promptLogprobs).toHaveLength(prompt.length - 1)
    for (const [i, entry] of promptLogprobs!.entries()) {
      const forced = await ask({ allowedTokenIds: [prompt[i + 1]!], logprobs: 2, maxTokens: 1 }, prompt.slice(0, i + 1))
      expect(entry).toEqual(forced.logprobs[0])
    }
  })

  test('come whatever is cached, in chunks, and once for all completions', async () => {
    const long = Array.from({ length: 70 }, (_, i) => (i * 13) % 150)
    const first = await ask({ promptLogprobs: 1 }, long)
    expect(first.promptLogprobs).toHaveLength(69)
    addRequest(engine, 'x', long, { temperature: 0, maxTokens: 12, promptLogprobs: 1, n: 2 })
    const again = await drain(engine)
    expect(again.get('x/0')).toEqual(first)
    expect(again.get('x/1')).toEqual({ ...first, promptLogprobs: undefined })
    expect((await ask({ promptLogprobs: 0 }, [5])).promptLogprobs).toEqual([])
    const chunked = await openEngine({ blockSize: 8, maxNumBatchedTokens: 9, maxNumSeqs: 4 })
    addRequest(chunked.engine, 'x', long, { temperature: 0, maxTokens: 12, promptLogprobs: 1 })
    addRequest(chunked.engine, 'y', long, { temperature: 0, maxTokens: 3 })
    expect((await drain(chunked.engine)).get('x/0')).toEqual(first)
    chunked.device.close()
  })
})
