import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { miniModelDirectory } from '@slipway/mini'
import { describe, expect, test } from 'vitest'
import { LLM } from './llm.ts'
import { randomCheckpoint } from './testing/checkpoints.ts'

const folder = fileURLToPath(new URL('../../models/fixtures-adapters/mini/', import.meta.url))
const golden = JSON.parse(readFileSync(`${folder}golden.json`, 'utf8')) as {
  adapters: [{ prompts: [{ ids: number[]; greedy: number[] }] }]
}
const [{ ids, greedy }] = golden.adapters[0].prompts
const params = { temperature: 0, maxTokens: 20, ignoreEos: true, repetitionPenalty: 1 }
const options = { maxModelLen: 512, dtype: 'float32' } as const

test('an adapter is loaded, asked by name, and unloaded', async () => {
  await using llm = await LLM.load(miniModelDirectory, { ...options, enableLora: true, maxLoras: 2 })
  const plain = await llm.generate(ids, params)
  expect(llm.loras).toEqual([])
  expect(() => llm.submit(ids, params, { lora: 'poet' })).toThrow('there is no adapter "poet"; loaded: none')
  await llm.loadLora('poet', `${folder}lora-18`)
  expect(llm.loras).toMatchObject([{ name: 'poet', rank: 2, baseModel: 'mini' }])
  await expect(llm.loadLora('poet', folder)).rejects.toThrow('"poet" is loaded already')
  await expect(llm.loadLora('', folder)).rejects.toThrow('needs a name')
  await expect(llm.loadLora('other', folder)).rejects.toThrow('has no adapter_config.json')

  const [adapted, again] = await Promise.all([llm.generate(ids, params, { lora: 'poet' }), llm.generate(ids, params)])
  expect(adapted.outputs[0]!.tokenIds).toEqual(greedy)
  expect(again.outputs[0]!.tokenIds).toEqual(plain.outputs[0]!.tokenIds)
  expect(plain.outputs[0]!.tokenIds).not.toEqual(greedy)

  const late = llm.generate(ids, params, { lora: 'poet', stream: true })
  await llm.unloadLora('poet')
  expect((await late.result()).outputs[0]!.tokenIds).toEqual(greedy)
  expect(() => llm.submit(ids, params, { lora: 'poet' })).toThrow('there is no adapter "poet"')
  await expect(llm.unloadLora('poet')).rejects.toThrow('there is no adapter "poet"')
})

test('adapters can be there from the start; without room there are none', async () => {
  await using llm = await LLM.load(miniModelDirectory, { ...options, loraModules: { poet: `${folder}lora-18` } })
  const { outputs } = await llm.generate(ids, params, { lora: 'poet' })
  expect(outputs[0]!.tokenIds).toEqual(greedy)
  await using plain = await LLM.load(miniModelDirectory, options)
  await expect(plain.loadLora('poet', `${folder}lora-18`)).rejects.toThrow('set enableLora')
  const wrong = LLM.load(miniModelDirectory, { ...options, loraModules: { poet: folder } })
  await expect(wrong).rejects.toThrow('has no adapter_config.json')
})

test('an engine that is started again has its adapters, and pauses if it did', async () => {
  const quiet = { onEngineCrash: () => {} }
  await using llm = await LLM.load(miniModelDirectory, { ...options, ...quiet, enableLora: true })
  await llm.loadLora('poet', `${folder}lora-18`)
  await llm.restartEngine()
  await expect.poll(() => llm.state, { timeout: 10_000 }).toBe('ready')
  expect(llm.loras).toMatchObject([{ name: 'poet' }])
  expect((await llm.generate(ids, params, { lora: 'poet' })).outputs[0]!.tokenIds).toEqual(greedy)
  await llm.pause()
  await llm.restartEngine()
  await expect.poll(() => llm.state, { timeout: 10_000 }).toBe('ready')
  const held = llm.generate(ids, params, { lora: 'poet' })
  expect(llm.isPaused).toBe(true)
  await llm.resume()
  expect((await held).outputs[0]!.tokenIds).toEqual(greedy)
})

describe('weights under adapters', () => {
  const lora = { lora: 'poet' }
  const loraModules = { poet: `${folder}lora-18` }

  test('sleep and wake: a frozen request goes on with its adapter, later ones have theirs', async () => {
    await using llm = await LLM.load(miniModelDirectory, { ...options, loraModules })
    const plain = await llm.generate(ids, params)
    const running = llm.submit(ids, params, lora)
    await llm.sleep({ level: 1, mode: 'keep' })
    expect(llm.loras).toMatchObject([{ name: 'poet' }])
    await llm.wake()
    expect((await running.result()).outputs[0]!.tokenIds).toEqual(greedy)
    const after = await llm.generate([ids, ids], params, lora)
    for (const { outputs } of after) expect(outputs[0]!.tokenIds).toEqual(greedy)
    expect((await llm.generate(ids, params)).outputs).toEqual(plain.outputs)
  })

  test('new weights, awake or after level 2, under adapters as under ones that came later', async () => {
    const other = await randomCheckpoint(await mkdtemp(join(tmpdir(), 'slipway-lora-')), 7)
    try {
      await using fresh = await LLM.load(other, { ...options, loraModules })
      const expected = await fresh.generate(ids, params, lora)
      expect((await fresh.generate(ids, params)).outputs).not.toEqual(expected.outputs)
      await using llm = await LLM.load(miniModelDirectory, { ...options, loraModules })
      await llm.updateWeights(other)
      expect((await llm.generate(ids, params, lora)).outputs).toEqual(expected.outputs)
      await llm.sleep({ level: 2 })
      await llm.loadLora('late', `${folder}lora-18`)
      await llm.updateWeights(miniModelDirectory)
      await llm.wake()
      for (const name of ['poet', 'late']) {
        const { outputs } = await llm.generate(ids, params, { lora: name })
        expect(outputs[0]!.tokenIds, name).toEqual(greedy)
      }
    } finally {
      await rm(other, { recursive: true })
    }
  })
})
