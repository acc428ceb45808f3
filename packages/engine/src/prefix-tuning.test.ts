import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import type { EngineOptions } from './options.ts'
import { addRequest, Answers, drain, openEngine, type Answer } from './testing/harness.ts'

// Prefixes made and run by the PEFT library, and one in PaddleNLP's form run by transformers (tools/goldens/adapters.py).

const folder = fileURLToPath(new URL('../../models/fixtures-adapters/qwen3/', import.meta.url))
const { prefixes: golden } = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as {
  readonly prefixes: readonly {
    readonly name: string
    readonly numVirtualTokens: number
    readonly prompts: readonly { readonly ids: number[]; readonly greedy: number[] }[]
  }[]
}
const names = golden.map(({ name }) => name)
const greedy = { temperature: 0, maxTokens: 20, ignoreEos: true }

async function open(options: EngineOptions, loaded: readonly string[] = names) {
  const opened = await openEngine({ enableLora: true, maxNumSeqs: 24, ...options })
  for (const name of loaded) await opened.adapters!.load(name, `${folder}${name}`)
  return opened
}

describe.each(['cpu', 'reference'] as const)('prefix tuning on %s', (device) => {
  const isThere = device === 'reference' || cpuAvailable().available

  test.skipIf(!isThere)('answers as the libraries do, in one batch with LoRA and the model alone', async () => {
    const { engine, adapters } = await open({ device })
    await adapters!.load('lora-1', `${folder}lora-1`)
    expect(adapters!.list).toMatchObject([
      { name: 'prefix-19', kind: 'prefix', rank: 0, numVirtualTokens: 5, baseModel: 'qwen3' },
      { numVirtualTokens: 37 },
      { numVirtualTokens: 9, baseModel: null },
      { kind: 'lora', rank: 8, numVirtualTokens: 0 },
    ])
    for (const name of ['lora-1', undefined])
      addRequest(engine, String(name), [1, 2, 3], greedy, {}, name === undefined ? {} : { lora: name })
    for (const { name, prompts } of golden)
      for (const [i, { ids }] of prompts.entries()) addRequest(engine, `${name} ${i}`, ids, greedy, {}, { lora: name })
    const answers = await drain(engine)
    for (const { name, prompts } of golden)
      for (const [i, prompt] of prompts.entries())
        expect(answers.get(`${name} ${i}/0`)!.tokenIds, name).toEqual(prompt.greedy)
  })
})

describe.skipIf(!cpuAvailable().available)('prefix tuning', () => {
  const alone = async (): Promise<Map<string, Answer>> => {
    const answers = new Answers()
    for (const { name, prompts } of golden) {
      const { engine } = await open({ threads: 1, prefixCaching: false }, [name])
      addRequest(engine, name, prompts[1]!.ids, { ...greedy, logprobs: 2 }, {}, { lora: name })
      await drain(engine, answers)
    }
    return answers.all
  }

  test.each<[string, EngineOptions]>([
    ['blocks smaller than a prefix', { blockSize: 4, maxNumBatchedTokens: 24 }],
    [
      'too few blocks, so that some give way and come again',
      { blockSize: 16, kvCacheMemory: 16 * 16 * 512, maxModelLen: 128 },
    ],
    ['no prefix cache', { blockSize: 16, prefixCaching: false }],
  ])('with %s no bit changes, and full blocks are shared', async (_, options) => {
    const expected = await alone()
    const { engine } = await open({ ...options, threads: 2 })
    for (const { name, prompts } of golden)
      for (let i = 0; i < 4; i++)
        addRequest(engine, `${name} ${i}`, prompts[1]!.ids, { ...greedy, logprobs: 2 }, {}, { lora: name })
    for (const [key, answer] of await drain(engine)) expect(answer, key).toEqual(expected.get(`${key.split(' ')[0]}/0`))
  })

  test('what is cached of a prompt does not count the prefix, which two requests share', async () => {
    const { engine } = await open({ blockSize: 4 }, ['prefix-20'])
    const counts: (number | undefined)[] = []
    for (const id of ['a', 'b']) {
      addRequest(
        engine,
        id,
        golden[1]!.prompts[1]!.ids,
        { ...greedy, repetitionPenalty: 1.3 },
        {},
        { lora: 'prefix-20' },
      )
      while (engine.hasWork)
        for (const { numCachedTokens } of await engine.step())
          if (numCachedTokens !== undefined) counts.push(numCachedTokens)
    }
    // 37 + 23 tokens in blocks of 4, of which the last one is computed anew
    expect(counts).toEqual([0, 19])
    expect(engine.stats()).toMatchObject({ numQueriedTokens: 46, numCachedTokens: 19 })
  })

  test('a prefix of another model is refused', async () => {
    const moe = await openEngine(
      { enableLora: true },
      fileURLToPath(new URL('../../models/fixtures/qwen3-moe', import.meta.url)),
    )
    await expect(moe.adapters!.load('prefix', `${folder}prefix-19`)).rejects.toThrow(
      'of 2 layers and width 32, the model has 3 of 16',
    )
  })
})
