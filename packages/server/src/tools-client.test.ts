import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jsonInTags, parseOutput, ParserRegistry, toolFormat } from '@slipway/parsers'
import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { answerOf } from './testing/answer.ts'
import { modelName, post, startModel, useClient, useModel } from './testing/harness.ts'
import { createApp, type ServerOptions } from './index.ts'

// Tools and thinking end to end: the embedded model decides, the official client asks.

type Body = OpenAI.ChatCompletionCreateParamsNonStreaming

const tool = (name: string, parameter: string): OpenAI.ChatCompletionTool => ({
  type: 'function',
  function: {
    name,
    parameters: { type: 'object', properties: { [parameter]: { type: 'string' } }, required: [parameter] },
  },
})
const tools = [tool('calculator', 'expression'), tool('get_weather', 'city')]
const ask = (content: string): OpenAI.ChatCompletionMessageParam[] => [{ role: 'user', content }]
const body = (content: string, change: object = {}): Body => ({
  model: modelName,
  messages: ask(content),
  temperature: 0,
  ...change,
})
const product = 'What is 1234 * 56?'
const sum = 'What is 347 + 285?'

const llm = useModel()
const client = useClient(llm)

const answer = (request: Body) => answerOf(client, request)

describe('tools', () => {
  test('a call, its result, and the answer', async () => {
    const { message, reason } = await answer(body(product, { tools }))
    expect(reason).toBe('tool_calls')
    expect(message.content).toBeNull()
    expect(message.tool_calls).toEqual([
      {
        id: expect.stringMatching(/^call_\w{24}$/) as unknown,
        type: 'function',
        function: { name: 'calculator', arguments: '{"expression": "1234 * 56"}' },
      },
    ])
    const result = { role: 'tool' as const, tool_call_id: message.tool_calls![0]!.id, content: '69104' }
    const second = await answer({ ...body(product, { tools }), messages: [...ask(product), message, result] })
    expect(second).toMatchObject({ reason: 'stop', message: { content: 'The answer is 69104.' } })
    expect(second.message).not.toHaveProperty('tool_calls')
  })

  test('what stream() and runTools() make of it', async () => {
    const final = await client.chat.completions.stream(body(product, { tools }) as never).finalChatCompletion()
    expect(final.choices[0]!.message.tool_calls).toMatchObject([
      { function: { name: 'calculator', arguments: '{"expression": "1234 * 56"}' } },
    ])
    const calculator = {
      type: 'function' as const,
      function: {
        ...(tools[0] as OpenAI.ChatCompletionFunctionTool).function,
        parameters: (tools[0] as OpenAI.ChatCompletionFunctionTool).function.parameters!,
        parse: JSON.parse,
        function: ({ expression }: { expression: string }) => (expression === '1234 * 56' ? '69104' : 'wrong'),
      },
    }
    const runner = client.chat.completions.runTools({ ...body(product), tools: [calculator] } as never)
    expect(await runner.finalContent()).toBe('The answer is 69104.')
  })

  test('log-probabilities are those of all tokens', async () => {
    const { choices, usage } = await client.chat.completions.create(body(product, { tools, logprobs: true }))
    expect(choices[0]!.logprobs!.content).toHaveLength(usage!.completion_tokens)
    let streamed = 0
    const stream = await client.chat.completions.create({ ...body(product, { tools, logprobs: true }), stream: true })
    for await (const chunk of stream) streamed += chunk.choices[0]?.logprobs?.content?.length ?? 0
    expect(streamed).toBe(usage!.completion_tokens)
  })

  test('a call that is cut off ends with length', async () => {
    const { message, reason } = await answer(body(product, { tools, max_tokens: 18 }))
    expect(reason).toBe('length')
    const [call] = message.tool_calls!
    expect('{"expression": "1234 * 56"}').toContain(
      (call as OpenAI.ChatCompletionMessageFunctionToolCall).function.arguments,
    )
  })

  test('without calls the answer is a plain one', async () => {
    const plain = await answer(body(product))
    expect(plain.message).not.toHaveProperty('tool_calls')
    // a model that may not call is not shown the tools
    const none = await answer(body(product, { tools, tool_choice: 'none' }))
    expect(none).toEqual(plain)
    const auto = await answer(body('Hello!', { tools, tool_choice: 'auto', parallel_tool_calls: true, n: 2 }))
    expect(auto).toMatchObject({ reason: 'stop', message: { content: expect.stringMatching(/\w/) as unknown } })
  })

  test.each([
    [{ tools: [{ type: 'retrieval' }] }, 'tools[0].type', 'must be "function"'],
    [{ tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools[0].function.name', 'must be 1 to 128'],
    [
      { tools: [{ type: 'function', function: { name: 'a', parameters: [] } }] },
      'tools[0].function.parameters',
      'expected',
    ],
    [{ tools: [tools[0], tools[0]] }, 'tools', 'the same name'],
  ])('%j is no list of tools', async (change, param, message) => {
    const failed = client.chat.completions.create(body(product, change as object))
    await expect(failed).rejects.toThrow(message)
    await expect(failed).rejects.toMatchObject({ status: 400, param })
  })
})

describe('thinking', () => {
  test('is apart from the answer, and counted', async () => {
    const { message, usage } = await answer(body(sum))
    expect(message.content).toBe('347 + 285 = 632.')
    expect(message.reasoning_content).toMatch(/^347\+285\n[^]*so 632$/)
    const { reasoning_tokens: reasoning } = usage.completion_tokens_details!
    const tokens = (text: string): number => llm.tokenizer.encode(text, { addSpecialTokens: false }).length
    // the blanks beside the tags are tokens too
    expect(reasoning).toBe(tokens(`\n${message.reasoning_content}\n`))
    expect(usage.completion_tokens).toBe(
      tokens(`<think>\n${message.reasoning_content}\n</think>\n\n${message.content}`) + 1,
    )
  })

  test('can be turned off', async () => {
    const off = await answer(body(sum, { enable_thinking: false }))
    expect(off.message).not.toHaveProperty('reasoning_content')
    expect(off.usage.completion_tokens_details).toEqual({ reasoning_tokens: 0 })
    const kwargs = await answer(body(sum, { chat_template_kwargs: { enable_thinking: false } }))
    expect(kwargs).toEqual(off)
    const both = body(sum, { enable_thinking: false, chat_template_kwargs: { enable_thinking: false } })
    await expect(client.chat.completions.create(both)).rejects.toThrow('is in chat_template_kwargs too')
  })

  test('without an end there is no content', async () => {
    const { message, reason } = await answer(body(sum, { max_tokens: 20 }))
    expect(reason).toBe('length')
    expect(message.content).toBe('')
    expect(message.reasoning_content).toMatch(/^347\+285\n/)
  })

  test('an answer goes back as it came', async () => {
    const { message } = await answer(body(sum))
    const next = await answer({ ...body(sum), messages: [...ask(sum), message, ...ask('Hello!')] })
    expect(next.message.content).toMatch(/\w/)
  })
})

describe('options', () => {
  const once = async (options: ServerOptions, request: object) => {
    const app = createApp(llm, { servedModelNames: [modelName], ...options })
    const { choices } = (await (await post(app, '/v1/chat/completions', request)).json()) as OpenAI.ChatCompletion
    return choices[0]!
  }

  test('none leaves the text as it is', async () => {
    const thought = await once({ reasoningParser: 'none' }, body(sum))
    expect(thought.message.content).toMatch(/^<think>\n[^]*<\/think>\n\n347 \+ 285 = 632\.$/)
    const called = await once({ toolCallParser: 'none' }, body(product, { tools }))
    expect(called).toMatchObject({
      finish_reason: 'stop',
      message: { content: expect.stringMatching(/^<tool_call>\n[^]*<\/tool_call>$/) as unknown },
    })
    expect(parseOutput(called.message.content!, { tools: 'hermes' }).toolCalls).toHaveLength(1)
  })

  test('a named format, and one of your own', async () => {
    const named = await once({ toolCallParser: 'hermes', reasoningParser: 'qwen3' }, body(product, { tools }))
    expect(named.finish_reason).toBe('tool_calls')
    const other = await once({ toolCallParser: 'mistral' }, body(product, { tools }))
    expect(other.message.content).toContain('<tool_call>')
    const parsers = ParserRegistry.builtIn().withReasoning('mine', { start: '<think>', end: 'ones:' })
    const mine = await once({ reasoningParser: 'mine', parsers }, body(sum))
    expect(mine.message).toMatchObject({
      reasoning_content: '347+285',
      content: expect.stringMatching(/^ 7\+5=12/) as unknown,
    })
  })

  test('tools need a template that shows calls, or a name', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-tools-'))
    const chatTemplate = join(folder, 'plain.jinja')
    writeFileSync(chatTemplate, '{% for m in messages %}{{ m.content }}{% endfor %}')
    await using plain = startModel({ chatTemplate })
    await plain.ready
    rmSync(folder, { recursive: true })
    const request = body(product, { tools, max_tokens: 4 })
    const ask = (options: ServerOptions) =>
      post(createApp(plain, { servedModelNames: [modelName], ...options }), '/v1/chat/completions', request)
    const refused = await ask({})
    expect(refused.status).toBe(400)
    expect(await refused.json()).toMatchObject({
      error: {
        param: 'tools',
        code: 'unsupported_parameter',
        message: expect.stringContaining('or start the server with --tool-call-parser') as unknown,
      },
    })
    expect((await ask({ toolCallParser: 'hermes' })).status).toBe(200)
    expect((await ask({ toolCallParser: 'none' })).status).toBe(200)
  })

  test('markers that are special tokens reach the parser', async () => {
    const special = '<|im_start|>'
    const id = llm.tokenizer.tokenToId(special)!
    expect(llm.tokenizer.isSpecial(id)).toBe(true)
    const parsers = ParserRegistry.builtIn().withTools('mine', toolFormat(jsonInTags(special, undefined)))
    const request = body(product, { tools, max_tokens: 3, logit_bias: { [id]: 100 } })
    expect((await once({}, request)).message.content).toBe('')
    expect((await once({ toolCallParser: 'mine', parsers }, request)).message.content).toBe(special.repeat(3))
  })

  test('an unknown name fails at the start', () => {
    expect(() => createApp(llm, { toolCallParser: 'gpt' })).toThrow('there is no tool call parser "gpt"; use one of')
    expect(() => createApp(llm, { reasoningParser: 'gpt' })).toThrow('there is no reasoning parser "gpt"')
  })
})
