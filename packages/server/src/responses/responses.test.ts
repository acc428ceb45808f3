import type OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { modelName, untilBusy, useClient, useModel } from '../testing/harness.ts'

// The official client asks the embedded model through the API of items.

type Request = OpenAI.Responses.ResponseCreateParamsNonStreaming
type Answer = OpenAI.Responses.Response

const llm = useModel()
const client = useClient(llm)

const sum = 'What is 347 + 285?'
const product = 'What is 1234 * 56?'
const calculator: OpenAI.Responses.FunctionTool = {
  type: 'function',
  name: 'calculator',
  parameters: { type: 'object', properties: { expression: { type: 'string' } }, required: ['expression'] },
  strict: false,
}
const request = (change: object): Request => ({ model: modelName, temperature: 0, ...change })

/** The whole answer, after a check that the stream says the same, in its events and in what the client makes of them. */
async function answerOf(change: object): Promise<Answer> {
  const whole = await client.responses.create(request(change))
  const stream = client.responses.stream(request(change) as never)
  const types: string[] = []
  let number = 0
  let text = ''
  let last: Answer | undefined
  for await (const event of stream) {
    types.push(event.type)
    expect(event.sequence_number).toBe(number++)
    if (event.type === 'response.output_text.delta') text += event.delta
    if (event.type === 'response.completed' || event.type === 'response.incomplete') last = event.response
  }
  expect(types.slice(0, 2)).toEqual(['response.created', 'response.in_progress'])
  expect(types.at(-1)).toBe(`response.${whole.status}`)
  expect(types.filter((type) => type === 'response.output_item.done')).toHaveLength(whole.output.length)
  expect(text).toBe(whole.output_text)
  expect(comparable(last!)).toEqual(comparable(whole))
  // put together by the client from the pieces alone
  const { output } = await stream.finalResponse()
  expect(comparable({ ...whole, output } as Answer)).toEqual(comparable(whole))
  return whole
}

/** Without names and times, which are new each time, and what the cache had. */
function comparable({ output, usage, ...rest }: Answer): unknown {
  const items = output.map((item) => ({
    ...item,
    id: '',
    ...('call_id' in item && { call_id: '' }),
    parsed_arguments: 0,
  }))
  const content = JSON.parse(JSON.stringify(items), (key, value: unknown) =>
    key === 'parsed' ? undefined : value,
  ) as unknown
  return { ...rest, id: '', created_at: 0, completed_at: 0, output_text: '', content, tokens: usage!.total_tokens }
}

describe('an answer', () => {
  test('has its reasoning and its text as items, with their tokens', async () => {
    const answer = await answerOf({ input: sum, instructions: 'Be brief.', metadata: { a: 'b' }, top_p: 0.9 })
    expect(answer).toMatchObject({
      object: 'response',
      status: 'completed',
      error: null,
      incomplete_details: null,
      instructions: 'Be brief.',
      metadata: { a: 'b' },
      store: false,
      temperature: 0,
      top_p: 0.9,
      tool_choice: 'auto',
      output: [
        { type: 'reasoning', summary: [] },
        { type: 'message', role: 'assistant', status: 'completed' },
      ],
    })
    const chat = await client.chat.completions.create({
      model: modelName,
      temperature: 0,
      top_p: 0.9,
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: sum },
      ],
    })
    const { content, reasoning_content } = chat.choices[0]!.message as unknown as Record<string, string>
    expect(answer.output_text).toBe(content)
    expect(answer.output[0]).toMatchObject({ content: [{ type: 'reasoning_text', text: reasoning_content }] })
    expect(answer.usage).toMatchObject({
      input_tokens: chat.usage!.prompt_tokens,
      output_tokens: chat.usage!.completion_tokens,
      output_tokens_details: chat.usage!.completion_tokens_details,
    })
  })

  test('is incomplete where its tokens end', async () => {
    const answer = await answerOf({ input: sum, max_output_tokens: 5 })
    expect(answer.status).toBe('incomplete')
    expect(answer.incomplete_details).toEqual({ reason: 'max_output_tokens' })
    expect(answer.output).toMatchObject([{ type: 'reasoning', status: 'incomplete' }])
    expect(answer.usage!.output_tokens).toBe(5)
  })

  test('goes without thinking, and keeps to a form', async () => {
    const schema = {
      type: 'object',
      properties: { sum: { type: 'integer', minimum: 0, maximum: 9999 } },
      required: ['sum'],
      additionalProperties: false,
    }
    const format = { type: 'json_schema', name: 'sum', schema, strict: true }
    const answer = await answerOf({ input: sum, reasoning: { effort: 'none' }, text: { format } })
    expect(answer.output).toHaveLength(1)
    expect(JSON.parse(answer.output_text)).toEqual({ sum: expect.any(Number) as unknown })
    expect(answer.usage!.output_tokens_details.reasoning_tokens).toBe(0)
    const object = await answerOf({ input: sum, text: { format: { type: 'json_object' } }, max_output_tokens: 200 })
    if (object.status === 'completed') expect(JSON.parse(object.output_text)).toBeTypeOf('object')
  })
})

describe('a conversation', () => {
  test('calls a tool, is given the output, and goes on', async () => {
    const first = await answerOf({ input: product, tools: [calculator] })
    expect(first.output.at(-1)).toMatchObject({
      type: 'function_call',
      call_id: expect.stringMatching(/^call_/) as unknown,
      name: 'calculator',
      arguments: '{"expression": "1234 * 56"}',
      status: 'completed',
    })
    const call = first.output.at(-1) as OpenAI.Responses.ResponseFunctionToolCall
    const input = [
      { role: 'user', content: product },
      ...first.output,
      { type: 'function_call_output', call_id: call.call_id, output: [{ type: 'input_text', text: '69104' }] },
    ]
    const second = await answerOf({ input, tools: [calculator] })
    expect(second.output_text).toBe('The answer is 69104.')
    const third = await answerOf({
      input: [...input, ...second.output, { role: 'user', content: [{ type: 'input_text', text: sum }] }],
      tools: [calculator],
    })
    expect(third.status).toBe('completed')
    expect(third.usage!.input_tokens).toBeGreaterThan(second.usage!.input_tokens + 10)
  })

  test('is forced to call, or kept from it', async () => {
    const weather = { ...calculator, name: 'get_weather' }
    const tools = [calculator, weather]
    const names = (answer: Answer): unknown[] => answer.output.flatMap((one) => ('name' in one ? [one.name] : []))
    const forced = { type: 'function', name: 'get_weather' }
    expect(names(await answerOf({ input: product, tools, tool_choice: forced, parallel_tool_calls: false }))).toEqual([
      'get_weather',
    ])
    const allowed = { type: 'allowed_tools', mode: 'required', tools: [forced] }
    const some = names(await answerOf({ input: product, tools, tool_choice: allowed, parallel_tool_calls: false }))
    expect(some).toEqual(['get_weather'])
    const none = await answerOf({ input: product, tools, tool_choice: 'none' })
    expect(none.output_text).toBe((await answerOf({ input: product })).output_text)
  })

  test('turns are put together from their items', async () => {
    const long = await client.responses.create(
      request({
        max_output_tokens: 1,
        input: [
          { role: 'developer', content: 'Be kind.' },
          { role: 'user', content: 'Hi' },
          { type: 'reasoning', id: 'rs_1', summary: [{ type: 'summary_text', text: 'a greeting' }] },
          { role: 'assistant', content: [{ type: 'refusal', refusal: 'No.' }] },
          { role: 'assistant', content: 'Yes.' },
          { type: 'reasoning', id: 'rs_2', summary: [] },
          { role: 'user', content: 'Good.' },
        ],
      }),
    )
    const same = await client.chat.completions.create({
      model: modelName,
      max_tokens: 1,
      messages: [
        { role: 'system', content: 'Be kind.' },
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: 'No.\nYes.' },
        { role: 'user', content: 'Good.' },
      ],
    })
    expect(long.usage!.input_tokens).toBe(same.usage!.prompt_tokens)
  })
})

test.each<[object, string, string]>([
  [{ previous_response_id: 'resp_1' }, 'previous_response_id', 'not stored here; send the whole conversation'],
  [{ store: true }, 'store', 'answers are not stored'],
  [{ background: true }, 'background', 'who waits for it'],
  [{ truncation: 'auto' }, 'truncation', 'use "disabled"'],
  [{ include: ['web_search_call.results'] }, 'include[0]', 'nothing can be included'],
  [{ tools: [{ type: 'web_search' }] }, 'tools[0].type', 'no other tools'],
  [{ tools: [calculator, calculator] }, 'tools', 'the same name'],
  [{ tool_choice: 'required' }, 'tool_choice', 'no tools to choose from'],
  [{ max_output_tokens: 5000 }, 'max_output_tokens', 'max_output_tokens 5000 and the prompt of'],
  [{ input: [] }, 'input', 'at least one item'],
  [{ input: [{ type: 'item_reference', id: 'msg_1' }] }, 'input[0].type', 'must be message, function_call'],
  [{ input: [{ role: 'user', content: [{ type: 'input_image' }] }] }, 'input[0].content[0].type', 'text only'],
  [{ text: { format: { type: 'json_schema', name: 'a', schema: { type: 'x' } } } }, 'text.format', 'text.format: '],
  [{ n: 2 }, 'n', 'there is no such parameter'],
])('%j is refused', async (change, param, message) => {
  for (const stream of [false, true]) {
    const failed = client.responses.create({ ...request({ input: 'Hello!', ...change }), stream } as never)
    await expect(failed).rejects.toMatchObject({ status: 400, param })
    await expect(failed).rejects.toThrow(message)
  }
})

test('a text that is too long is refused by its name', async () => {
  const failed = client.responses.create(request({ input: 'a'.repeat(100_000) }))
  await expect(failed).rejects.toMatchObject({ status: 400, param: 'input', code: 'context_length_exceeded' })
  await expect(failed).rejects.toThrow(/^400 input: \d+ characters are too long/)
})

test('a stream that the server ends says so', async () => {
  const stream = await client.responses.create({
    ...request({ input: 'Tell me a long story.', max_output_tokens: 300, logit_bias: {} }),
    stream: true,
  })
  let last: OpenAI.Responses.ResponseStreamEvent | undefined
  for await (const event of stream) {
    if (event.type === 'response.created') {
      await untilBusy(llm)
      await llm.abort([`${event.response.id}-0`])
    }
    last = event
  }
  expect(last).toMatchObject({ type: 'response.failed', response: { status: 'failed', error: { code: 'aborted' } } })
})
