import { expect, test } from 'vitest'
import * as modules from './index.ts'

// Other tests import modules one by one, as the condition `development` says; this is what users get.

test('the bundle exports what the modules do, and its engine gives the same tokens', async () => {
  const bundle = (await import(new URL('./bundle/index.js', import.meta.url).href)) as typeof modules
  expect(Object.keys(bundle).sort()).toEqual(Object.keys(modules).sort())
  expect(bundle.miniModelDirectory).toBe(modules.miniModelDirectory)
  const answers = []
  for (const { LLM, miniModelDirectory } of [bundle, modules]) {
    await using llm = await LLM.load(miniModelDirectory, { maxModelLen: 64, maxNumSeqs: 1 })
    answers.push(await llm.generate('Once upon a time', { temperature: 0, maxTokens: 8 }))
  }
  const [bundled, plain] = answers.map((answer) => answer.outputs[0]!)
  expect(bundled!.tokenIds).toHaveLength(8)
  expect(bundled).toEqual(plain)
})

test('the bundle tells faults as the modules do', async () => {
  const bundle = (await import(new URL('./bundle/index.js', import.meta.url).href)) as typeof modules
  const start =
    ({ LLM }: typeof modules) =>
    () =>
      LLM.start('x', { threads: 0.5 })
  expect(start(bundle)).toThrow('option threads: Invalid input: expected int, received number')
  expect(start(modules)).toThrow('option threads: Invalid input: expected int, received number')
  expect(modules.SlipwayError.is(new bundle.SlipwayError('request', 'x'))).toBe(true)
})
