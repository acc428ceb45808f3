import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { LLM } from '@slipway/engine'
import {
  APICallError,
  embed,
  embedMany,
  extractReasoningMiddleware,
  generateObject,
  generateText,
  NoObjectGeneratedError,
  Output,
  stepCountIs,
  streamObject,
  streamText,
  tool,
  type TextStreamPart,
  type ToolSet,
  wrapLanguageModel,
} from 'ai'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { serve, type RunningServer } from './serve.ts'
import { expectIdle, modelName, startModel, untilBusy } from './testing/harness.ts'
import { fixtureDirectory, goldenOf } from './testing/pooling-fixtures.ts'

// The AI SDK asks the embedded model. What it makes of an answer is compared with the same request by plain HTTP.

const apiKey = 'a-key-of-the-test'
const sum = 'What is 347 + 285?'
const product = 'What is 1234 * 56?'
const maxRetries = 0

let llm: LLM
let server: RunningServer
beforeAll(async () => {
  llm = startModel({ maxModelLen: 1024 })
  await llm.ready
  server = await serve(llm, { port: 0, servedModelNames: [modelName], apiKeys: [apiKey] })
})
afterEach(() => expectIdle(llm))
afterAll(async () => {
  await server.close()
  await llm.close()
})

/** The bodies that the client has sent. */
const sent: Record<string, unknown>[] = []
const providerOf = (change: { url?: string; apiKey?: string } = {}) =>
  createOpenAICompatible({
    name: 'slipway',
    baseURL: `${change.url ?? server.url}/v1`,
    apiKey: change.apiKey ?? apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
    fetch: (url, init) => {
      sent.push(JSON.parse(init!.body as string) as Record<string, unknown>)
      return fetch(url, init)
    },
  })
const model = () => providerOf().chatModel(modelName)
const greedy = () => ({ model: model(), temperature: 0, maxRetries })

interface Plain {
  readonly choices: {
    readonly message: { readonly content: string | null; readonly reasoning_content?: string }
    readonly text: string
    readonly finish_reason: string
  }[]
  readonly usage: {
    readonly prompt_tokens: number
    readonly completion_tokens: number
    readonly completion_tokens_details: { readonly reasoning_tokens: number }
  }
}

/** The answer without the client. */
async function plain(path: string, body: object): Promise<Plain> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${apiKey}` }
  const init = { method: 'POST', headers, body: JSON.stringify({ model: modelName, temperature: 0, ...body }) }
  const response = await fetch(server.url + path, init)
  expect(response.status).toBe(200)
  return (await response.json()) as Plain
}
const plainChat = (content: string, body: object = {}): Promise<Plain> =>
  plain('/v1/chat/completions', { messages: [{ role: 'user', content }], ...body })

const joined = (parts: readonly { readonly type: string }[], type: string): string =>
  parts
    .filter((part) => part.type === type)
    .map((part) => (part as unknown as { text: string }).text)
    .join('')

type Part = TextStreamPart<ToolSet>

/** The part of that type. */
const partOf = <T extends Part['type']>(parts: readonly Part[], type: T) =>
  parts.find((part) => part.type === type) as Extract<Part, { type: T }>

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const parts: T[] = []
  for await (const part of stream) parts.push(part)
  return parts
}

/** Its types do not know `exactOptionalPropertyTypes`. */
const toolSet = (tools: object): ToolSet => tools as ToolSet

describe('text', () => {
  test('generateText: text, reasoning, usage, reason', async () => {
    const { choices, usage } = await plainChat(sum)
    const result = await generateText({ ...greedy(), prompt: sum })
    expect(result.text).toBe(choices[0]!.message.content)
    expect(result.text).toBe('347 + 285 = 632.')
    expect(result.reasoningText).toBe(choices[0]!.message.reasoning_content)
    expect(result.finishReason).toBe('stop')
    expect(result.warnings).toEqual([])
    expect(result.response.modelId).toBe(modelName)
    expect(result.usage).toMatchObject({
      inputTokens: usage.prompt_tokens,
      outputTokens: usage.completion_tokens,
      totalTokens: usage.prompt_tokens + usage.completion_tokens,
      outputTokenDetails: { reasoningTokens: usage.completion_tokens_details.reasoning_tokens },
    })
  })

  test('streamText: the parts in order, with usage', async () => {
    const { choices, usage } = await plainChat(sum)
    const parts = await all(streamText({ ...greedy(), prompt: sum }).fullStream)
    const order = parts.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1])
    expect(order).toEqual([
      'start',
      'start-step',
      'reasoning-start',
      'reasoning-delta',
      'reasoning-end',
      'text-start',
      'text-delta',
      'text-end',
      'finish-step',
      'finish',
    ])
    expect(joined(parts, 'text-delta')).toBe(choices[0]!.message.content)
    expect(joined(parts, 'reasoning-delta')).toBe(choices[0]!.message.reasoning_content)
    expect(parts.filter(({ type }) => type === 'text-delta').length).toBeGreaterThan(3)
    const { finishReason, totalUsage } = partOf(parts, 'finish')
    expect(finishReason).toBe('stop')
    expect(totalUsage).toMatchObject({
      inputTokens: usage.prompt_tokens,
      outputTokens: usage.completion_tokens,
      outputTokenDetails: { reasoningTokens: usage.completion_tokens_details.reasoning_tokens },
    })
    expect(sent.at(-1)).toMatchObject({ stream: true, stream_options: { include_usage: true } })
  })

  test('parameters and messages of every role come as they were meant', async () => {
    const system = 'You are brief.'
    const history = [
      { role: 'user', content: 'Hello!' },
      { role: 'assistant', content: 'Hello.' },
      { role: 'user', content: 'Say something.' },
    ] as const
    const { choices } = await plain('/v1/chat/completions', {
      messages: [{ role: 'system', content: system }, ...history],
      temperature: 1.5,
      top_p: 0.9,
      seed: 11,
      max_tokens: 12,
      presence_penalty: 0.5,
      frequency_penalty: 0.25,
      ignore_eos: true,
      chat_template_kwargs: { enable_thinking: false },
    })
    const { text, finishReason } = await generateText({
      model: model(),
      system,
      messages: [...history],
      temperature: 1.5,
      topP: 0.9,
      seed: 11,
      maxOutputTokens: 12,
      presencePenalty: 0.5,
      frequencyPenalty: 0.25,
      // what the client does not know goes through under the provider's name
      providerOptions: { slipway: { ignore_eos: true, chat_template_kwargs: { enable_thinking: false } } },
    })
    expect(text).toBe(choices[0]!.message.content)
    expect(finishReason).toBe('length')
  })

  test('stop sequences, and a reasoning effort that turns thinking off', async () => {
    const options = { ...greedy(), prompt: sum, providerOptions: { slipway: { reasoningEffort: 'none' } } }
    const whole = await generateText(options)
    expect(sent.at(-1)).toMatchObject({ reasoning_effort: 'none' })
    expect(whole.reasoningText).toBeUndefined()
    const half = whole.text.slice(0, 4)
    const stopped = await generateText({ ...options, stopSequences: [whole.text.slice(4, 7)] })
    expect(stopped.text.trimEnd()).toBe(half.trimEnd())
    expect(stopped.finishReason).toBe('stop')
  })

  test('a completion, whose prompt the client frames by itself', async () => {
    const raw = { model: providerOf().completionModel(modelName), temperature: 0, maxOutputTokens: 20, maxRetries }
    const { text, usage } = await generateText({ ...raw, prompt: 'One' })
    const { prompt, stop } = sent.at(-1)!
    const answer = await plain('/v1/completions', { prompt, stop, max_tokens: 20 })
    expect(text).toBe(answer.choices[0]!.text)
    expect(usage.outputTokens).toBe(answer.usage.completion_tokens)
  })

  test('where the server leaves reasoning in the text, the client reads the same from it', async () => {
    const { choices } = await plainChat(sum)
    const other = await serve(llm, { port: 0, servedModelNames: [modelName], reasoningParser: 'none' })
    try {
      const chat = providerOf({ url: other.url }).chatModel(modelName)
      const wrapped = wrapLanguageModel({ model: chat, middleware: extractReasoningMiddleware({ tagName: 'think' }) })
      const { text, reasoningText } = await generateText({ model: wrapped, temperature: 0, prompt: sum, maxRetries })
      expect(reasoningText!.trim()).toBe(choices[0]!.message.reasoning_content)
      expect(text.trim()).toBe(choices[0]!.message.content)
    } finally {
      await other.close()
    }
  })
})

describe('tools', () => {
  const calculator = tool({
    description: 'Computes.',
    inputSchema: z.object({ expression: z.string() }),
    execute: ({ expression }) => (expression === '1234 * 56' ? '69104' : 'wrong'),
  })
  const weather = tool({ description: 'Tells the weather.', inputSchema: z.object({ city: z.string() }) })

  test('a call, what it gives, and the answer: two steps', async () => {
    const options = { ...greedy(), prompt: product, tools: toolSet({ calculator, weather }), stopWhen: stepCountIs(4) }
    const { steps, text, totalUsage } = await generateText(options)
    expect(steps.map(({ finishReason }) => finishReason)).toEqual(['tool-calls', 'stop'])
    expect(steps[0]!.toolCalls).toMatchObject([{ toolName: 'calculator', input: { expression: '1234 * 56' } }])
    expect(steps[0]!.toolResults).toMatchObject([{ output: '69104' }])
    expect(text).toBe('The answer is 69104.')
    expect(totalUsage.outputTokens).toBe(steps[0]!.usage.outputTokens! + steps[1]!.usage.outputTokens!)
    const streamed = streamText(options)
    const parts = await all(streamed.fullStream)
    expect(await streamed.text).toBe(text)
    const input = parts.filter(({ type }) => type === 'tool-input-delta') as { delta: string }[]
    expect(JSON.parse(input.map(({ delta }) => delta).join(''))).toEqual({ expression: '1234 * 56' })
    expect(partOf(parts, 'tool-call')).toMatchObject({ toolName: 'calculator' })
    expect(partOf(parts, 'tool-result')).toMatchObject({ output: '69104' })
    expect(parts.filter(({ type }) => type === 'finish-step')).toHaveLength(2)
  })

  test('none may be called, one must be, one of all must be', async () => {
    const tools = toolSet({ calculator: { ...calculator, execute: undefined }, weather })
    const none = await generateText({ ...greedy(), prompt: product, tools, toolChoice: 'none' })
    expect(none.toolCalls).toEqual([])
    const named = await generateText({
      ...greedy(),
      prompt: product,
      tools,
      toolChoice: { type: 'tool', toolName: 'weather' },
      maxOutputTokens: 200,
    })
    expect(named.toolCalls).toMatchObject([{ toolName: 'weather', input: { city: expect.any(String) as unknown } }])
    const any = await generateText({ ...greedy(), prompt: product, tools, toolChoice: 'required' })
    expect(any.toolCalls).toMatchObject([{ toolName: 'calculator', input: { expression: '1234 * 56' } }])
  })
})

describe('objects', () => {
  const schema = z.object({ name: z.string().max(12), age: z.int().min(0).max(120), likes: z.enum(['tea', 'milk']) })
  const drawn = () => ({
    model: model(),
    temperature: 1,
    seed: 5,
    maxOutputTokens: 200,
    maxRetries,
    prompt: 'Tell me about Anna.',
  })

  test('generateObject, streamObject and an output of generateText are the same object of the schema', async () => {
    const { object } = await generateObject({ ...drawn(), schema })
    expect(schema.parse(object)).toEqual(object)
    const { response_format, ...body } = sent.at(-1)!
    expect(response_format).toMatchObject({ type: 'json_schema', json_schema: { strict: true } })
    const { choices } = await plain('/v1/chat/completions', { ...body, response_format })
    expect(JSON.parse(choices[0]!.message.content!)).toEqual(object)
    const streamed = streamObject({ ...drawn(), schema })
    const partial = await all(streamed.partialObjectStream)
    expect(await streamed.object).toEqual(object)
    expect(partial.at(-1)).toEqual(object)
    const { output } = await generateText({ ...drawn(), output: Output.object({ schema }) })
    expect(output).toEqual(object)
  })

  test('a choice', async () => {
    const { object } = await generateObject({ ...drawn(), output: 'enum', enum: ['left', 'right'] })
    expect(['left', 'right']).toContain(object)
  })

  test('one that is cut off is none', async () => {
    const cut = generateObject({ ...drawn(), schema, maxOutputTokens: 3 })
    await expect(cut).rejects.toSatisfy((error) => NoObjectGeneratedError.isInstance(error))
  })
})

test('embeddings', async () => {
  const embedder = await LLM.load(fixtureDirectory('bert-embed'), { packedCache: false })
  const other = await serve(embedder, { port: 0, servedModelNames: ['m'] })
  try {
    const { cases } = goldenOf('bert-embed')
    const values = cases.map(({ text }) => text as string)
    const embeddings = providerOf({ url: other.url }).embeddingModel('m')
    const many = await embedMany({ model: embeddings, values, maxRetries })
    for (const [i, { expected }] of cases.entries()) {
      expect(many.embeddings[i]).toHaveLength(expected.length)
      const worst = Math.max(...expected.map((x, j) => Math.abs(x - many.embeddings[i]![j]!)))
      expect(worst).toBeLessThan(1e-4)
    }
    expect(many.usage.tokens).toBe(cases.reduce((total, { ids }) => total + ids.length, 0))
    expect((await embed({ model: embeddings, value: values[0]!, maxRetries })).embedding).toEqual(many.embeddings[0])
  } finally {
    await other.close()
    await embedder.close()
  }
})

describe('what goes wrong', () => {
  const failure = async (asked: Promise<unknown>): Promise<APICallError> => {
    const error = await asked.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(APICallError.isInstance(error)).toBe(true)
    return error as APICallError
  }
  const ask = (options: object, provider = providerOf()): Promise<unknown> =>
    generateText({ model: provider.chatModel(modelName), prompt: 'Hello!', maxRetries, ...options })

  test('a wrong key, an unknown model, a bad parameter, too long a prompt', async () => {
    expect(await failure(ask({}, providerOf({ apiKey: 'wrong' })))).toMatchObject({
      statusCode: 401,
      isRetryable: false,
    })
    expect(await failure(ask({ model: providerOf().chatModel('gpt-5') }))).toMatchObject({
      statusCode: 404,
      message: expect.stringContaining('this server has mini') as unknown,
      data: { error: { code: 'model_not_found', param: 'model' } },
    })
    expect(await failure(ask({ temperature: 9 }))).toMatchObject({
      statusCode: 400,
      data: { error: { param: 'temperature' } },
    })
    expect(await failure(ask({ prompt: 'word '.repeat(3000) }))).toMatchObject({
      data: { error: { code: 'context_length_exceeded' } },
    })
  })

  test('a stream that cannot begin has an error part', async () => {
    const errors: unknown[] = []
    const options = {
      ...greedy(),
      prompt: 'Hello!',
      topP: 7,
      onError: ({ error }: { error: unknown }) => void errors.push(error),
    }
    const parts = await all(streamText(options).fullStream)
    expect(partOf(parts, 'error').error).toMatchObject({ statusCode: 400 })
    expect(errors).toHaveLength(1)
  })

  test('who goes away ends the request', async () => {
    const long = {
      ...greedy(),
      prompt: 'Hello!',
      maxOutputTokens: 900,
      providerOptions: { slipway: { ignore_eos: true } },
    }
    const whole = new AbortController()
    const answer = generateText({ ...long, abortSignal: whole.signal })
    const failed = expect(answer).rejects.toMatchObject({ name: 'AbortError' })
    await untilBusy(llm)
    whole.abort()
    await failed
    await expectIdle(llm)
    const before = (await llm.stats()).numSteps
    const leaving = new AbortController()
    const parts: string[] = []
    for await (const { type } of streamText({ ...long, abortSignal: leaving.signal }).fullStream) {
      parts.push(type)
      if (type === 'text-delta') leaving.abort()
    }
    expect(parts.at(-1)).toBe('abort')
    expect((await expectIdle(llm)).numSteps - before).toBeLessThan(900)
  })
})
