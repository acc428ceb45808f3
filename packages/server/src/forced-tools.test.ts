import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { answerOf } from './testing/answer.ts'
import { modelName, useClient, useModel } from './testing/harness.ts'

// Calls that have to be: the embedded model draws at random what the grammar leaves, in every form that can be named.

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming

const schemas: Readonly<Record<string, Record<string, unknown>>> = {
  get_weather: {
    type: 'object',
    properties: {
      city: { type: 'string', maxLength: 12 },
      unit: { type: 'string', enum: ['°C', '°F'] },
      days: { type: 'array', items: { type: 'integer', minimum: 1, maximum: 7 }, minItems: 1, maxItems: 3 },
    },
    required: ['city', 'days'],
    additionalProperties: false,
  },
  set_timer: {
    type: 'object',
    properties: {
      minutes: { anyOf: [{ type: 'integer', minimum: 0, maximum: 600 }, { type: 'null' }] },
      when: { type: 'string', format: 'time' },
      place: { $ref: '#/$defs/place' },
    },
    required: ['minutes', 'when', 'place'],
    additionalProperties: false,
    $defs: {
      place: { type: 'object', properties: { x: { type: 'boolean' } }, required: ['x'], additionalProperties: false },
    },
  },
  now: { type: 'object', properties: {}, additionalProperties: false },
}
const tools: OpenAI.ChatCompletionTool[] = Object.entries(schemas).map(([name, parameters]) => ({
  type: 'function',
  function: { name, parameters },
}))
const strictTools = tools.map((tool) => ({
  ...tool,
  function: { ...(tool as OpenAI.ChatCompletionFunctionTool).function, strict: true },
}))
const body = (change: object): Body => ({
  model: modelName,
  messages: [{ role: 'user', content: 'What is 1234 * 56?' }],
  temperature: 1,
  max_tokens: 400,
  ...change,
})

const llm = useModel({ maxModelLen: 1024 })

/** The names that were called, with arguments that fit. */
function namesOf({ message, finish_reason: reason }: OpenAI.ChatCompletion.Choice): string[] {
  const calls = (message.tool_calls ?? []) as OpenAI.ChatCompletionMessageFunctionToolCall[]
  // at the limit of tokens the last one may be cut off
  for (const { function: f } of reason === 'length' ? calls.slice(0, -1) : calls) {
    const fits = z.fromJSONSchema(schemas[f.name]!).safeParse(JSON.parse(f.arguments))
    expect(fits.error, `${f.name}(${f.arguments})`).toBeUndefined()
  }
  return calls.map((call) => call.function.name)
}

const forms = ['auto', 'hermes', 'qwen3-coder', 'deepseek-v3', 'deepseek-v3.1', 'ernie-x1', 'ernie-45-vl-thinking']
const others = ['llama3-json', 'mistral', 'glm-4.5']

describe.each([...forms, ...others])('in the form %s', (toolCallParser) => {
  const client = useClient(llm, { toolCallParser })

  test('required: only calls, whole and streamed', async () => {
    const request = body({ tools, tool_choice: 'required', seed: 1, n: 2, enable_thinking: false })
    const { choices } = await answerOf(client, request)
    for (const choice of choices) {
      expect(choice.finish_reason).toMatch(/^(tool_calls|length)$/)
      if (choice.finish_reason === 'tool_calls') expect(choice.message.content).toBeNull()
      expect(namesOf(choice).length).toBeGreaterThan(0)
    }
  })

  test('a named tool is called once, one call at most is one', async () => {
    for (const { function: f } of tools.slice(0, 2) as OpenAI.ChatCompletionFunctionTool[]) {
      const named = { type: 'function', function: { name: f.name } }
      const { choices } = await answerOf(client, body({ tools, tool_choice: named, seed: 3, enable_thinking: false }))
      for (const choice of choices) {
        expect(choice).toMatchObject({ finish_reason: 'tool_calls', message: { content: null } })
        expect(namesOf(choice)).toEqual([f.name])
      }
    }
    const one = body({
      tools,
      tool_choice: 'required',
      parallel_tool_calls: false,
      seed: 4,
      n: 6,
      enable_thinking: false,
    })
    for (const choice of (await answerOf(client, one)).choices) {
      expect(choice.finish_reason).toBe('tool_calls')
      expect(namesOf(choice)).toHaveLength(1)
    }
  })

  test('after its thinking, where the model thinks', async () => {
    const sum = [{ role: 'user', content: 'What is 347 + 285?' }]
    const request = body({ messages: sum, tools, tool_choice: 'required', parallel_tool_calls: false, temperature: 0 })
    const { message, reason } = await answerOf(client, request)
    expect(reason).toBe('tool_calls')
    expect(message.content).toBeNull()
    expect(message.tool_calls).toHaveLength(1)
  })

  test('strict tools: a call that comes fits', async () => {
    const request = body({ tools: strictTools, seed: 5, n: 2, enable_thinking: false })
    const { choices } = await answerOf(client, request)
    for (const choice of choices) {
      const called = namesOf(choice).length > 0
      expect(choice.finish_reason).toMatch(called ? /^(tool_calls|length)$/ : /^(stop|length)$/)
    }
  })
})
