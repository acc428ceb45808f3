import { readFileSync } from 'node:fs'
import { cpuAvailable } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { LLM, type LLMOptions } from '../llm.ts'
import { fixture, readGolden } from '../testing/pooling-fixtures.ts'

// Embeddings, classes and scores made by the transformers library (tools/goldens/pooling.py), text in, numbers out.

const tolerance = 1e-4

/** What is asked of each model, and the options that its files cannot tell. */
const models: Record<string, { ask: 'embed' | 'classify' | 'encode' | 'score'; options?: LLMOptions }> = {
  'bert-embed': { ask: 'embed' },
  'bert-classify': { ask: 'classify' },
  'bert-tokens': { ask: 'encode' },
  'bert-rerank': { ask: 'score' },
  'roberta-classify': { ask: 'classify' },
  'xlmr-embed': { ask: 'embed' },
  'xlmr-rerank': { ask: 'score' },
  'qwen3-embed': { ask: 'embed' },
  'qwen2-classify': { ask: 'classify' },
  'llama-rerank': { ask: 'score' },
  'qwen2-process-reward': { ask: 'encode' },
  'qwen3-reranker': { ask: 'classify', options: { pooling: { classTokens: ['no', 'yes'] } } },
}

async function ask(llm: LLM, how: string, texts: readonly (string | [string, string])[]): Promise<Float32Array[]> {
  if (how === 'score') {
    const pairs = texts as [string, string][]
    const scores = await llm.score(
      pairs.map(([query]) => query),
      pairs.map(([, document]) => document),
    )
    return scores.map(({ score }) => Float32Array.of(score))
  }
  const given = texts as string[]
  if (how === 'embed') return (await llm.embed(given)).map(({ embedding }) => embedding)
  if (how === 'classify') return (await llm.classify(given)).map(({ probs }) => probs)
  return (await llm.encode(given)).map(({ values }) => values)
}

const devices = [
  ['reference', true],
  ['cpu', cpuAvailable().available],
] as const

for (const [device, available] of devices)
  describe.skipIf(!available)(`on ${device}`, () => {
    test.each(Object.entries(models))('%s', async (name, { ask: how, options = {} }) => {
      const { cases } = readGolden(name)
      const llm = await LLM.load(fixture(name), { device, packedCache: false, ...options })
      try {
        const results = await ask(
          llm,
          how,
          cases.map(({ text }) => text),
        )
        for (const [i, { text, ids, expected }] of cases.entries()) {
          const [first, second] = typeof text === 'string' ? [text] : text
          expect(llm.tokenizer.encodePair(first!, second).ids).toEqual(ids)
          expect(results[i]!.length).toBe(expected.length)
          const worst = expected.reduce((max, x, at) => Math.max(max, Math.abs(x - results[i]![at]!)), 0)
          expect(worst, String(text)).toBeLessThan(tolerance)
        }
        expect((await llm.stats()).ownedBlocks).toBe(0)
      } finally {
        await llm.close()
      }
    })
  })

test('there is a test for every fixture, and the numbers of a fixture differ from text to text', () => {
  for (const name of Object.keys(models)) {
    const { cases } = readGolden(name)
    expect(cases.length).toBeGreaterThan(1)
    expect(Math.abs(cases[0]!.expected[0]! - cases[1]!.expected[0]!)).toBeGreaterThan(10 * tolerance)
    expect(readFileSync(`${fixture(name)}/config.json`, 'utf8')).toContain('model_type')
  }
})
