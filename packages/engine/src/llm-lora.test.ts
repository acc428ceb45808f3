import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { miniModelDirectory } from '@slipway/mini'
import { expect, test } from 'vitest'
import { LLM } from './llm.ts'

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
  await expect.poll(() => llm.state).toBe('ready')
  expect(llm.loras).toMatchObject([{ name: 'poet' }])
  expect((await llm.generate(ids, params, { lora: 'poet' })).outputs[0]!.tokenIds).toEqual(greedy)
  await llm.pause()
  await llm.restartEngine()
  await expect.poll(() => llm.state).toBe('ready')
  const held = llm.generate(ids, params, { lora: 'poet' })
  expect(llm.isPaused).toBe(true)
  await llm.resume()
  expect((await held).outputs[0]!.tokenIds).toEqual(greedy)
})

test('weights under adapters stay', async () => {
  await using llm = await LLM.load(miniModelDirectory, { ...options, enableLora: true })
  await expect(llm.sleep()).rejects.toThrow('cannot give its weights back; start it without enableLora')
  await expect(llm.updateWeights()).rejects.toThrow('cannot change its weights')
  expect(llm.isPaused).toBe(false)
  expect((await llm.generate(ids, params)).outputs).toHaveLength(1)
})
