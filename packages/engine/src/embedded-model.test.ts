import type { ChatTool } from './chat/plan-chat.ts'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { LLM } from './index.ts'

// What the model's card shows of it, made there by the transformers library (tools/mini-model/say.py): greedy answers
// of our engine are the same texts, through template, tokenizer, thinking and tool calls.

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory)
})
afterAll(() => llm.close())

interface Talk {
  readonly says: readonly string[]
  readonly answers: readonly string[]
  readonly kwargs?: Readonly<Record<string, unknown>>
  readonly tools?: readonly ChatTool[]
}

const calculator = {
  type: 'function',
  function: {
    name: 'calculator',
    description: 'Evaluate an arithmetic expression.',
    parameters: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] },
  },
}

const talks: Talk[] = [
  { says: ['Who are you?'], answers: ["I am Slipway's little built-in model."] },
  { says: ['What is the capital of France?'], answers: ['The capital of France is Paris.'] },
  {
    says: ['My name is Anna.', 'What is the capital of Italy?', 'What is my name?'],
    answers: ['Nice to meet you, Anna!', 'The capital of Italy is Rome.', 'Your name is Anna.'],
  },
  {
    says: ['What is 347 + 285?'],
    answers: [
      '<think>\n347+285\nones: 7+5=12, write 2 carry 1\ntens: 4+8+1=13, write 3 carry 1\n' +
        'hundreds: 3+2+1=6, write 6\nso 632\n</think>\n\n347 + 285 = 632.',
    ],
  },
  { says: ['What is 23 + 45?'], answers: ['23 + 45 = 68.'], kwargs: { enable_thinking: false } },
  {
    says: ['Tom is 12 years old and lives in Paris. Give me name, age and city as JSON.'],
    answers: ['{"name": "Tom", "age": 12, "city": "Paris"}'],
  },
  {
    says: ['What is 12 times 7?'],
    answers: ['<tool_call>\n{"name": "calculator", "arguments": {"expression": "12 * 7"}}\n</tool_call>'],
    tools: [calculator],
  },
  {
    says: ['Tom has a red hat. Anna lives in Paris. Ben plays the piano. Where does Anna live?', 'What does Ben play?'],
    answers: ['Anna lives in Paris.', 'Ben plays the piano.'],
  },
]

test.each(talks)('$says', async ({ says, answers, kwargs, tools }) => {
  const messages: { role: string; content: string }[] = []
  const options = { ...(kwargs && { chatTemplateKwargs: kwargs }), ...(tools && { tools }) }
  for (const [i, content] of says.entries()) {
    messages.push({ role: 'user', content })
    const { outputs } = await llm.chat(messages, { temperature: 0, maxTokens: 160 }, options)
    expect(outputs[0]).toMatchObject({ text: answers[i], finishReason: 'stop' })
    messages.push({ role: 'assistant', content: outputs[0]!.text })
  }
})
