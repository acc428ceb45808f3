import { describe, expect, test } from 'vitest'
import { LLM, type LLMOptions } from '../llm.ts'
import { profileModel } from '../profile-model.ts'
import { tinyModel } from '../testing/harness.ts'
import { fixture, readGolden } from '../testing/pooling-fixtures.ts'

async function withModel<T>(name: string, options: LLMOptions, use: (llm: LLM) => Promise<T>): Promise<T> {
  const directory = name === 'tiny' ? tinyModel : fixture(name)
  const llm = await LLM.load(directory, { packedCache: false, device: 'reference', ...options })
  try {
    return await use(llm)
  } finally {
    await llm.close()
  }
}

describe('options are refused that the model cannot follow', () => {
  test.each<[string, LLMOptions, string]>([
    ['bert-embed', { task: 'generate' }, 'option task: this model cannot generate'],
    ['bert-embed', { kvDiskCache: { directory: '/nowhere' } }, 'option kvDiskCache: this model has no keys'],
    ['bert-embed', { pooling: { type: 'step' } }, 'option pooling.stepTagId'],
    ['bert-embed', { task: 'classify' }, 'classifier'],
    ['qwen3-embed', { task: 'classify' }, 'no tensor score.weight'],
    ['qwen3-reranker', { pooling: { classTokens: ['no', 'never ever'] } }, '"never ever" is'],
    ['bert-classify', { pooling: { returnedTokenIds: [0, 3] } }, 'the model has 3 classes, no 3'],
  ])('%s %j', async (name, options, message) => {
    await expect(withModel(name, options, () => Promise.resolve())).rejects.toThrow(message)
  })

  test('a model that does not generate has no steps to profile', async () => {
    const shape = { sequences: 1, rows: 8, context: 0 }
    await expect(profileModel(fixture('bert-embed'), shape, { device: 'reference' })).rejects.toThrow(
      'not for generation',
    )
  })
})

test('options decide over the files', async () => {
  const { cases } = readGolden('bert-classify')
  const text = cases[1]!.text as string
  const [no, , yes] = cases[1]!.expected
  await withModel('bert-classify', { pooling: { returnedTokenIds: [2, 0] } }, async (llm) => {
    const { probs, label } = await llm.classify(text)
    expect(probs[0]).toBeCloseTo(yes!, 4)
    expect(probs[1]).toBeCloseTo(no!, 4)
    expect(label).toBe(yes! > no! ? 'calm' : 'joy')
  })
  // the classifier is left in the files
  await withModel('bert-tokens', { task: 'embed', pooling: { normalize: false } }, async (llm) => {
    expect(llm.info.pooling).toMatchObject({ type: 'cls', normalize: false, labels: [] })
    const { embedding } = await llm.embed(text)
    const tokens = await llm.encode(text)
    expect(tokens.cols).toBe(24)
    expect(embedding).toEqual(tokens.values.slice(0, 24))
  })
  await withModel('bert-embed', { maxModelLen: 300 }, (llm) => {
    // sentence_bert_config.json says 256
    expect(llm.info.pooling).toMatchObject({ maxTokens: 300, type: 'mean' })
    return Promise.resolve()
  })
})

describe('requests are refused that the model cannot follow', () => {
  test('a model that generates', async () => {
    await withModel('qwen3-embed', { task: 'generate' }, async (llm) => {
      expect(() => llm.submitPooling('embed', [1, 2])).toThrow('load it with task "embed"')
      expect((await llm.generate([5, 6, 7], { maxTokens: 2, ignoreEos: true })).outputs[0]!.tokenIds).toHaveLength(2)
    })
  })

  test('a model that embeds', async () => {
    await withModel('bert-embed', {}, async (llm) => {
      expect(() => llm.submit('a')).toThrow('does not generate; it can do embed, token_embed, score')
      expect(() => llm.submitPooling('classify', 'a')).toThrow('cannot do the task "classify"')
      expect(() => llm.submitPooling('embed', [])).toThrow('the prompt is empty')
      expect(() => llm.submitPooling('embed', 'a', { truncatePromptTokens: 0 })).toThrow('truncatePromptTokens: 0')
      await expect(llm.score(['a', 'b'], ['a', 'b', 'c'])).rejects.toThrow('2 queries and 3 documents')
      const gone = AbortSignal.abort()
      await expect(llm.submitPooling('embed', 'a', {}, { signal: gone }).result()).rejects.toThrow('aborted')
      const task = llm.submitPooling('embed', 'a')
      task.abort()
      task.abort()
      await expect(task.result()).rejects.toThrow('aborted')
      const [pair] = await llm.score('a ship', 'a ship')
      expect(pair!.score).toBeCloseTo(1, 6)
    })
  })

  test('a model that classifies', async () => {
    await withModel('bert-classify', {}, async (llm) => {
      expect(() => llm.submitPooling('score', 'a')).toThrow('it can do classify, token_classify')
      expect(() => llm.submitPooling('classify', 'a', { dimensions: 2 })).toThrow('parameter dimensions')
      expect(() => llm.submitPooling('classify', 'a', { normalize: true })).toThrow('parameter normalize')
      const raw = await llm.classify('a', { activation: 'none' })
      const sigmoid = await llm.classify('a', { activation: 'sigmoid' })
      expect(sigmoid.probs[1]).toBeCloseTo(1 / (1 + Math.exp(-raw.probs[1]!)), 6)
    })
  })
})
