import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { answerOf } from './testing/answer.ts'
import { modelName, useClient, useModel } from './testing/harness.ts'

// How much the embedded model thinks, and what comes after it.

const llm = useModel()
const client = useClient(llm)

const body = (change: object): OpenAI.ChatCompletionCreateParamsNonStreaming => ({
  model: modelName,
  messages: [{ role: 'user', content: 'What is 347 + 285?' }],
  temperature: 0,
  max_tokens: 200,
  ...change,
})
const thought = async (change: object) => {
  const { message, usage, reason } = await answerOf(client, body(change))
  return { message, reason, tokens: usage.completion_tokens_details!.reasoning_tokens! }
}

describe('a budget', () => {
  test('ends the thinking after as many tokens, and the answer comes', async () => {
    const free = await thought({})
    expect(free.tokens).toBeGreaterThan(15)
    for (const budget of [0, 1, 7, free.tokens - 1]) {
      const bound = await thought({ thinking_token_budget: budget })
      expect(bound.tokens).toBe(budget)
      expect(bound.reason).toBe('stop')
      expect(bound.message.content).toMatch(/\w/)
      // until the budget the model thinks as it always does
      expect(free.message.reasoning_content!.startsWith((bound.message.reasoning_content ?? '').trimEnd())).toBe(true)
    }
    expect(await thought({ thinking_token_budget: free.tokens })).toEqual(free)
    expect(await thought({ thinking_token_budget: 10_000 })).toEqual(free)
  })

  test('has other names', async () => {
    const bound = await thought({ thinking_token_budget: 5 })
    for (const change of [{ reasoning_max_tokens: 5 }, { thinking_budget: 5 }, { reasoning: { max_tokens: 5 } }])
      expect(await thought(change)).toEqual(bound)
  })

  test('is the same in a crowd', async () => {
    const alone = await thought({ thinking_token_budget: 9, temperature: 1, seed: 3, logprobs: true })
    const crowd = await Promise.all(
      [9, 2, 30, 9].map((thinking_token_budget) =>
        thought({ thinking_token_budget, temperature: 1, seed: 3, logprobs: true }),
      ),
    )
    expect(crowd[0]).toEqual(alone)
    expect(crowd[3]).toEqual(alone)
  })

  test('tells the log-probability of the token that was forced', async () => {
    const { choices } = await client.chat.completions.create(
      body({ thinking_token_budget: 3, logprobs: true, top_logprobs: 1 }),
    )
    const content = choices[0]!.logprobs!.content!
    expect(content[4]!.token).toBe('</think>')
    expect(content[4]!.logprob).toBeLessThan(content[4]!.top_logprobs[0]!.logprob)
  })
})

describe('an effort', () => {
  test('none is no thinking, others bound it', async () => {
    const off = await thought({ enable_thinking: false })
    expect(off.tokens).toBe(0)
    expect(await thought({ reasoning_effort: 'none' })).toEqual(off)
    expect(await thought({ reasoning: { enabled: false } })).toEqual(off)
    const free = await thought({})
    for (const reasoning_effort of ['minimal', 'low', 'medium', 'high'])
      expect(await thought({ reasoning_effort })).toEqual(free)
  })

  test.each<[object, string, string]>([
    [{ reasoning_effort: 'none', enable_thinking: true }, 'enable_thinking', 'contradicts reasoning_effort none'],
    [{ reasoning_effort: 'low', enable_thinking: false }, 'reasoning_effort', 'none without thinking'],
    [{ reasoning_effort: 'enormous' }, 'reasoning_effort', 'Invalid option'],
    [{ thinking_budget: 3, reasoning_max_tokens: 4 }, 'thinking_budget', 'the same as reasoning_max_tokens'],
    [{ reasoning: { effort: 'low' }, reasoning_effort: 'low' }, 'reasoning.effort', 'the same as reasoning_effort'],
    [{ thinking_token_budget: -1 }, 'thinking_token_budget', '>=0'],
    [
      { enable_thinking: true, chat_template_kwargs: { enable_thinking: true } },
      'enable_thinking',
      'is in chat_template_kwargs too',
    ],
  ])('%j', async (change, param, message) => {
    const failed = client.chat.completions.create(body(change))
    await expect(failed).rejects.toMatchObject({ status: 400, param })
    await expect(failed).rejects.toThrow(message)
  })
})

describe('with a form for the answer', () => {
  const schema = {
    type: 'object',
    properties: { sum: { type: 'integer', minimum: 0, maximum: 9999 } },
    required: ['sum'],
    additionalProperties: false,
  }
  const response_format = { type: 'json_schema', json_schema: { name: 'sum', strict: true, schema } }

  test('the thinking is free, the answer is not', async () => {
    const { message, tokens } = await thought({ response_format })
    expect(message.reasoning_content).toMatch(/^347\+285\n/)
    expect(tokens).toBeGreaterThan(15)
    expect(JSON.parse(message.content!)).toEqual({ sum: expect.any(Number) as unknown })
    const bound = await thought({ response_format, thinking_token_budget: 4 })
    expect(bound.tokens).toBe(4)
    expect(JSON.parse(bound.message.content!)).toEqual({ sum: expect.any(Number) as unknown })
    const off = await thought({ response_format, enable_thinking: false })
    expect(off.tokens).toBe(0)
    expect(JSON.parse(off.message.content!)).toEqual({ sum: expect.any(Number) as unknown })
  })

  test('also where the model would end in the midst of it', async () => {
    const end = llm.tokenizer.tokenToId('<|im_end|>')!
    const { message, reason } = await thought({ response_format, logit_bias: { [end]: 100 } })
    expect(reason).toBe('stop')
    expect(JSON.parse(message.content!)).toEqual({ sum: expect.any(Number) as unknown })
  })

  test('and beside tools that may be called', async () => {
    const parameters = { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] }
    const tools = [{ type: 'function', function: { name: 'calculator', parameters } }]
    const product = [{ role: 'user', content: 'What is 1234 * 56?' }]
    const called = await thought({ messages: product, tools, response_format })
    expect(called).toMatchObject({ reason: 'tool_calls', message: { content: null } })
    const told = await thought({ messages: product, tools, response_format, tool_choice: 'none' })
    expect(JSON.parse(told.message.content!)).toEqual({ sum: expect.any(Number) as unknown })
  })
})

describe('choices that cannot be', () => {
  const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: {} } } }]
  const named = (name: string): object => ({ type: 'function', function: { name } })
  const unbound = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } } }

  test.each<[object, string, string]>([
    [{ tool_choice: 'required' }, 'tool_choice', 'no tools to choose from'],
    [{ tools, tool_choice: named('g') }, 'tool_choice', 'there is no tool named "g"'],
    [{ tools, tool_choice: 'must' }, 'tool_choice', 'must be "auto"'],
    [{ tools, tool_choice: 'required', guided_regex: 'a' }, 'tool_choice', 'can have no other form'],
    [
      { tools, tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named('h')] } } },
      'tool_choice',
      'no tool named h',
    ],
    [
      { tools: [{ type: 'function', function: { name: 'f', strict: true, parameters: unbound } }] },
      'tools',
      'the arguments of the tool f: schema.properties.a',
    ],
  ])('%j', async (change, param, message) => {
    for (const stream of [false, true]) {
      const failed = client.chat.completions.create({ ...body(change), stream } as never)
      await expect(failed).rejects.toMatchObject({ status: 400, param })
      await expect(failed).rejects.toThrow(message)
    }
  })

  test('some tools of many', async () => {
    const two = [
      ...tools,
      { type: 'function', function: { name: 'g', parameters: { type: 'object', properties: {} } } },
    ]
    const allowed_tools = { mode: 'required', tools: [named('g')] }
    const { message } = await thought({
      tools: two,
      tool_choice: { type: 'allowed_tools', allowed_tools },
      parallel_tool_calls: false,
    })
    expect(message.tool_calls).toMatchObject([{ function: { name: 'g' } }])
  })
})
