import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LLM } from '../index.ts'

// Conversations offline: answers come in their parts.

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 512 })
})
afterAll(() => llm.close())

const ask = (content: string) => [{ role: 'user', content }]
const sum = ask('What is 347 + 285?')
const greedy = { temperature: 0, maxTokens: 160 }
const parameters = { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] }
const tools = [{ type: 'function', function: { name: 'calculator', parameters } }]

test('reasoning and content, beside the text as it was', async () => {
  const { outputs } = await llm.chat(sum, greedy)
  const { text, message } = outputs[0]!
  expect(text).toMatch(/^<think>\n347\+285\n[^]*<\/think>\n\n347 \+ 285 = 632\.$/)
  expect(message).toEqual({
    role: 'assistant',
    content: '347 + 285 = 632.',
    reasoningContent: text.slice('<think>\n'.length, text.indexOf('\n</think>')),
    toolCalls: [],
  })
  const [raw] = (await llm.chat([sum], greedy, { reasoningParser: 'none' }))[0]!.outputs
  expect(raw!.message).toMatchObject({ content: text, reasoningContent: '' })
})

test('calls, of their own accord and forced', async () => {
  const called = (await llm.chat(ask('What is 1234 * 56?'), greedy, { tools })).outputs[0]!
  expect(called.message.toolCalls).toMatchObject([{ name: 'calculator', arguments: '{"expression": "1234 * 56"}' }])
  expect(called.message.content).toBe('')
  const named = (await llm.chat(ask('What is 1234 * 56?'), greedy, { tools, toolCallParser: 'hermes' })).outputs[0]!
  expect(named.message.toolCalls).toMatchObject([{ name: 'calculator' }])
  const options = { tools, toolChoice: 'required', parallelToolCalls: false, enableThinking: false } as const
  const forced = await llm.chat([ask('Hello!'), sum], greedy, options)
  for (const { outputs } of forced) {
    expect(outputs[0]!.finishReason).toBe('stop')
    expect(outputs[0]!.message.toolCalls).toHaveLength(1)
    expect(JSON.parse(outputs[0]!.message.toolCalls[0]!.arguments)).toHaveProperty('expression')
  }
})

test('a bound on the thinking, and none', async () => {
  const bound = (await llm.chat(sum, greedy, { thinkingTokenBudget: 6 })).outputs[0]!
  expect(bound.tokenIds.indexOf(llm.tokenizer.tokenToId('</think>')!)).toBe(7)
  expect(bound.message.content).toMatch(/\w/)
  const off = (await llm.chat(sum, greedy, { reasoningEffort: 'none' })).outputs[0]!
  expect(off.message.reasoningContent).toBe('')
})

describe('refusals', () => {
  const strict = [{ function: { name: 'f', strict: true, parameters } }]
  test.each<[object, string, string]>([
    [{ tools, toolChoice: 'required', toolCallParser: 'none' }, 'toolChoice', 'name a toolCallParser'],
    [{ tools: strict, toolCallParser: 'none' }, 'tools', 'name a toolCallParser'],
    [{ tools, parallelToolCalls: false, toolCallParser: 'none' }, 'parallelToolCalls', 'name a toolCallParser'],
    [{ thinkingTokenBudget: 3, reasoningParser: 'none' }, 'thinkingTokenBudget', 'name a reasoningParser'],
    [{ reasoningEffort: 'low', reasoningParser: 'none' }, 'reasoningEffort', 'not known to think'],
    [{ thinkingTokenBudget: 1.5 }, 'thinking.maxTokens', 'expected int'],
  ])('%j', async (options, param, message) => {
    const failed = (async () => llm.chat(sum, greedy, options))()
    await expect(failed).rejects.toThrow(message)
    await expect(failed).rejects.toMatchObject({ kind: 'request', details: { param } })
  })
})
