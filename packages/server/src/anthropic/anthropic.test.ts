import Anthropic from '@anthropic-ai/sdk'
import type { LLM } from '@slipway/engine'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { serve } from '../serve.ts'
import { expectIdle, modelName, startModel, untilBusy } from '../testing/harness.ts'

// Anthropic's own client asks the embedded model, with a key as everybody.

type Request = Anthropic.MessageCreateParamsNonStreaming

const apiKey = 'a-key-of-the-test'
let llm: LLM
let server: Awaited<ReturnType<typeof serve>>
let client: Anthropic
beforeAll(async () => {
  llm = startModel()
  await llm.ready
  server = await serve(llm, { port: 0, servedModelNames: [modelName], apiKeys: [apiKey] })
  client = new Anthropic({ baseURL: server.url, apiKey, maxRetries: 0 })
})
afterEach(() => expectIdle(llm))
afterAll(async () => {
  await server.close()
  await llm.close()
})

const sum = 'What is 347 + 285?'
const product = 'What is 1234 * 56?'
const thinking = { type: 'enabled' as const, budget_tokens: 100 }
const tool = (name: string): Anthropic.Tool => ({
  name,
  input_schema: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] },
})
const tools = [tool('calculator'), tool('get_weather')]
// newer clients do not declare it
const greedy: object = { temperature: 0 }
const request = (content: string, change: object = {}): Request => ({
  model: modelName,
  max_tokens: 200,
  messages: [{ role: 'user', content }],
  ...greedy,
  ...change,
})

/** The whole message, after a check that a stream says the same, by its events and by what the client makes of them. */
async function answerOf(body: Request): Promise<Anthropic.Message> {
  const whole = await client.messages.create(body)
  const stream = client.messages.stream(body)
  const open: number[] = []
  const types: string[] = []
  for await (const event of stream) {
    types.push(event.type)
    if (event.type === 'content_block_start') expect(open.push(event.index)).toBe(1)
    if (event.type === 'content_block_delta') expect(open).toEqual([event.index])
    if (event.type === 'content_block_stop') expect(open.pop()).toBe(event.index)
  }
  expect(types[0]).toBe('message_start')
  expect(types.slice(-2)).toEqual(['message_delta', 'message_stop'])
  expect(comparable(await stream.finalMessage())).toEqual(comparable(whole))
  return whole
}

/** Without names, which are new each time; what the cache had counts as what it had not. */
function comparable({ content, usage, stop_reason, stop_sequence }: Anthropic.Message): unknown {
  const blocks = JSON.parse(JSON.stringify(content), (key, value: unknown) => (key === 'id' ? '' : value)) as unknown
  const prompt = usage.input_tokens + (usage.cache_read_input_tokens ?? 0)
  return { blocks, stop_reason, stop_sequence, prompt, tokens: usage.output_tokens }
}

describe('a message', () => {
  test('is text, with its thoughts where they are asked for', async () => {
    const plain = await answerOf(request(sum))
    expect(plain).toMatchObject({ type: 'message', role: 'assistant', model: modelName, stop_reason: 'end_turn' })
    expect(plain.content).toMatchObject([{ type: 'text', text: expect.stringMatching(/\w/) as unknown }])
    const thought = await answerOf(request(sum, { thinking }))
    expect(thought.content).toMatchObject([
      { type: 'thinking', thinking: expect.stringMatching(/^347\+285\n/) as unknown },
      { type: 'text', text: '347 + 285 = 632.' },
    ])
    expect(await answerOf(request(sum, { thinking: { type: 'adaptive' } }))).toMatchObject({ content: thought.content })
    const bound = await answerOf(request(sum, { thinking: { type: 'enabled', budget_tokens: 7 } }))
    expect(bound.usage.output_tokens_details!.thinking_tokens).toBe(7)
    expect(bound.content.at(-1)!.type).toBe('text')
  })

  test('ends with max_tokens, or a stop sequence that is named', async () => {
    const short = await answerOf(request(sum, { max_tokens: 3 }))
    expect(short).toMatchObject({ stop_reason: 'max_tokens', stop_sequence: null, usage: { output_tokens: 3 } })
    const stopped = await answerOf(request(sum, { thinking, stop_sequences: [' = ', 'never'] }))
    expect(stopped).toMatchObject({ stop_reason: 'stop_sequence', stop_sequence: ' = ' })
    expect(stopped.content.at(-1)).toMatchObject({ text: '347 + 285' })
  })

  test('keeps to a schema, and is sampled as asked', async () => {
    const schema = {
      type: 'object',
      properties: { sum: { type: 'integer', minimum: 0, maximum: 9999 } },
      required: ['sum'],
      additionalProperties: false,
    }
    const formed = await answerOf(request(sum, { output_config: { format: { type: 'json_schema', schema } } }))
    const [block] = formed.content
    expect(JSON.parse((block as Anthropic.TextBlock).text)).toEqual({ sum: expect.any(Number) as unknown })
    const sampled = await answerOf(request('Hello!', { temperature: 1.5, top_k: 1, top_p: 0.9 }))
    expect(sampled.content).toEqual((await answerOf(request('Hello!'))).content)
  })

  test('counts its prompt beforehand', async () => {
    for (const change of [{}, { tools }, { system: 'Be brief.', thinking }]) {
      const { messages, model, ...rest } = request(sum, change)
      const { input_tokens } = await client.messages.countTokens({ messages, model, ...change })
      const { usage } = await client.messages.create({ messages, model, ...rest, max_tokens: 1 })
      expect(usage.input_tokens + usage.cache_read_input_tokens!).toBe(input_tokens)
    }
  })
})

describe('tools', () => {
  test('are called, their results are read', async () => {
    const first = await answerOf(request(product, { tools, thinking }))
    expect(first.stop_reason).toBe('tool_use')
    const call = first.content.at(-1) as Anthropic.ToolUseBlock
    expect(call).toMatchObject({ type: 'tool_use', name: 'calculator', input: { expression: '1234 * 56' } })
    const result = {
      type: 'tool_result' as const,
      tool_use_id: call.id,
      content: [{ type: 'text' as const, text: '69104' }],
    }
    const messages: Anthropic.MessageParam[] = [
      { role: 'user', content: product },
      { role: 'assistant', content: first.content },
      { role: 'user', content: [result] },
    ]
    const second = await answerOf(request('', { messages, tools, thinking }))
    expect(second.content.at(-1)).toMatchObject({ type: 'text', text: 'The answer is 69104.' })
    // a failure and a word beside it
    const failed = { ...result, content: 'no such thing', is_error: true }
    const word = { type: 'text', text: 'Well?', cache_control: { type: 'ephemeral' } }
    const third = [...messages.slice(0, 2), { role: 'user', content: [failed, word] }]
    const { input_tokens } = await client.messages.countTokens({ model: modelName, messages: third as never, tools })
    const shown = llm.renderChat(
      [
        { role: 'user', content: product },
        { role: 'assistant', content: '', tool_calls: [{ function: { name: 'calculator', arguments: call.input } }] },
        { role: 'tool', content: 'Error: no such thing' },
        { role: 'user', content: 'Well?' },
      ],
      {
        tools: tools.map(({ name, input_schema: parameters }) => ({
          type: 'function',
          function: { name, parameters },
        })),
        enableThinking: false,
      },
    )
    expect(input_tokens).toBe(shown.length)
  })

  test('are chosen for the model, or kept from it', async () => {
    const disable_parallel_tool_use = true
    const uses = (message: Anthropic.Message): string[] =>
      message.content.flatMap((block) => (block.type === 'tool_use' ? [block.name] : []))
    const named = { type: 'tool', name: 'get_weather', disable_parallel_tool_use }
    expect(uses(await answerOf(request(product, { tools, tool_choice: named })))).toEqual(['get_weather'])
    const any = { type: 'any', disable_parallel_tool_use }
    expect(uses(await answerOf(request(product, { tools, tool_choice: any })))).toHaveLength(1)
    const none = await answerOf(request(product, { tools, tool_choice: { type: 'none' } }))
    expect(none.content).toEqual((await answerOf(request(product))).content)
  })
})

describe('what is refused', () => {
  test.each<[object, string]>([
    [{ max_tokens: 0 }, 'max_tokens'],
    [{ max_tokens: 5000 }, 'max_tokens 5000 and the prompt'],
    [{ n: 2 }, 'n: there is no such parameter'],
    [{ messages: [] }, 'at least one message'],
    [{ messages: [{ role: 'user', content: [{ type: 'image' }] }] }, 'messages[0].content[0].type: must be a block'],
    [{ tools: [{ type: 'bash_20250124', name: 'bash' }] }, 'tools[0].type: no tools run here'],
    [{ tool_choice: { type: 'any' } }, 'tool_choice: there are no tools to choose from'],
    [{ thinking: { type: 'enabled', budget_tokens: 0 } }, 'thinking.budget_tokens'],
    [{ output_config: { effort: 'low' } }, 'output_config.effort: there is none without thinking'],
    [{ output_config: { format: { type: 'json_schema', schema: { type: 'x' } } } }, 'output_config.format: '],
    [{ service_tier: 'priority' }, 'served alike'],
  ])('%j', async (change, message) => {
    for (const stream of [false, true]) {
      const failed = client.messages.create({ ...request('Hello!', change), stream } as never)
      await expect(failed).rejects.toBeInstanceOf(Anthropic.BadRequestError)
      await expect(failed).rejects.toThrow(message)
      await expect(failed).rejects.toMatchObject({
        error: { type: 'error', error: { type: 'invalid_request_error' }, request_id: expect.any(String) as unknown },
      })
    }
  })

  test('is told in the form that the client knows', async () => {
    const other = client.messages.create(request('Hi', { model: 'other' }))
    await expect(other).rejects.toBeInstanceOf(Anthropic.NotFoundError)
    await expect(other).rejects.toMatchObject({ type: 'not_found_error' })
    const stranger = new Anthropic({ baseURL: server.url, apiKey: 'another-key', maxRetries: 0 })
    for (const failed of [
      stranger.messages.create(request('Hi')),
      stranger.messages.countTokens({ model: modelName, messages: request('Hi').messages }),
    ])
      await expect(failed).rejects.toMatchObject({ status: 401, type: 'authentication_error' })
  })

  test('in a stream that has begun', async () => {
    const stream = await client.messages.create({ ...request('Tell me a long story.'), max_tokens: 300, stream: true })
    const read = async (): Promise<void> => {
      for await (const event of stream) {
        if (event.type !== 'message_start') continue
        await untilBusy(llm)
        await llm.abort([`${event.message.id}-0`])
      }
    }
    await expect(read()).rejects.toMatchObject({ error: { type: 'error', error: { type: 'overloaded_error' } } })
  })
})
