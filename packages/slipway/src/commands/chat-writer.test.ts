import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ChatWriter } from './chat-writer.ts'

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 512 })
})
afterAll(() => llm.close())

/** What is written of a text that comes in pieces of `size` letters. */
function written(text: string, hasColours: boolean, size = 3): string {
  const tools = [{ function: { name: 'calculator' } }]
  const { newAnswer } = llm.planChat([{ role: 'user', content: 'Hi' }], { tools })
  let out = ''
  const writer = new ChatWriter(newAnswer(), (piece) => (out += piece), { hasColours })
  for (let at = 0; at < text.length; at += size) writer.push(text.slice(at, at + size), [])
  writer.finish()
  return out
}

const thought = '<think>\n3 and 4\n</think>\n\nSeven.'
const called = 'Wait.\n<tool_call>\n{"name": "calculator", "arguments": {"a": 1}}\n</tool_call>'

describe.each([1, 3, 100])('in pieces of %i letters', (size) => {
  test.each<[string, boolean, string]>([
    ['Seven.', true, 'Seven.\n'],
    [thought, true, '\u001b[2m3 and 4\u001b[0m\n\nSeven.\n'],
    [thought, false, 'thinking: 3 and 4\n\nSeven.\n'],
    ['<think>\ncut', true, '\u001b[2mcut\u001b[0m\n'],
    [called, false, 'Wait.\ncall: calculator {"a": 1}\n'],
    [`${called.slice(6)}\n${called.slice(6)}`, false, 'call: calculator {"a": 1}\ncall: calculator {"a": 1}\n'],
    ['', true, ''],
  ])('%j, colours %s', (text, hasColours, shown) => {
    expect(written(text, hasColours, size)).toBe(shown)
  })
})

test('goes back to the model in its parts', async () => {
  const plan = llm.planChat([{ role: 'user', content: 'What is 347 + 285?' }])
  const writer = new ChatWriter(plan.newAnswer(), () => {}, { hasColours: false })
  for await (const event of llm.submit(plan.prompt, { temperature: 0, ...plan.params }))
    if (event.type === 'delta') writer.push(event.text, event.tokenIds)
  writer.finish()
  expect(writer.message).toEqual({
    role: 'assistant',
    content: '347 + 285 = 632.',
    reasoning_content: expect.stringMatching(/^347\+285\n/) as unknown,
  })
})
