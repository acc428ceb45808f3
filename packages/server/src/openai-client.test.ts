import OpenAI from 'openai'
import { describe, expect, test } from 'vitest'
import { expectIdle, modelName, untilBusy, useClient, useModel } from './testing/harness.ts'

const messages = [{ role: 'user' as const, content: 'Hello! Who are you?' }]
const chat = { model: modelName, messages, max_tokens: 24, temperature: 2, seed: 7 }

const llm = useModel()
const client = useClient(llm)

/** vLLM's extra parameters, which the client passes on but does not know. */
const extra = <T extends object>(parameters: object, body: T): T => ({ ...body, ...parameters })

describe('the official client', () => {
  test('models', async () => {
    const names: string[] = []
    for await (const model of client.models.list()) names.push(model.id)
    expect(names).toEqual([modelName])
    expect((await client.models.retrieve(modelName)).id).toBe(modelName)
  })

  test('chat, with usage', async () => {
    const { data, response } = await client.chat.completions.create(extra({ ignore_eos: true }, chat)).withResponse()
    expect(data.choices[0]!.message.content).toEqual(expect.any(String))
    expect(data.choices[0]!.finish_reason).toBe('length')
    expect(data.usage).toMatchObject({ completion_tokens: 24 })
    expect(data).toHaveProperty('_request_id', response.headers.get('x-request-id'))
  })

  test('the same seed gives the same text, another one another', async () => {
    const ask = async (seed: number): Promise<string | null> => {
      const { choices } = await client.chat.completions.create(extra({ ignore_eos: true }, { ...chat, seed }))
      return choices[0]!.message.content
    }
    const texts = await Promise.all([ask(1), ask(1), ask(2)])
    expect(texts[0]).toBe(texts[1])
    expect(texts[2]).not.toBe(texts[0])
  })

  test('n gives several answers', async () => {
    const body = extra({ ignore_eos: true }, { ...chat, n: 2 })
    const { choices, usage } = await client.chat.completions.create(body)
    expect(choices.map(({ index }) => index)).toEqual([0, 1])
    expect(choices[0]!.message.content).not.toBe(choices[1]!.message.content)
    expect(usage!.completion_tokens).toBe(48)
  })

  test('a stream, with usage', async () => {
    const whole = await client.chat.completions.create(chat)
    const stream = await client.chat.completions.create({
      ...chat,
      stream: true,
      stream_options: { include_usage: true },
    })
    let content = ''
    let usage
    const reasons: unknown[] = []
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? ''
      if (chunk.choices[0]?.finish_reason) reasons.push(chunk.choices[0].finish_reason)
      usage = chunk.usage
    }
    expect(content).toBe(whole.choices[0]!.message.content)
    expect(reasons).toEqual([whole.choices[0]!.finish_reason])
    expect(usage).toMatchObject({ ...whole.usage, prompt_tokens_details: {} })
  })

  test('what stream() puts together is the answer', async () => {
    const whole = await client.chat.completions.create(chat)
    const final = await client.chat.completions.stream(chat).finalChatCompletion()
    expect(final.choices[0]!.message.content).toBe(whole.choices[0]!.message.content)
    expect(final.choices[0]!.finish_reason).toBe(whole.choices[0]!.finish_reason)
  })

  test('log-probabilities', async () => {
    const { choices, usage } = await client.chat.completions.create({ ...chat, logprobs: true, top_logprobs: 3 })
    const { content } = choices[0]!.logprobs!
    expect(content!).toHaveLength(usage!.completion_tokens)
    for (const { token, logprob, bytes, top_logprobs } of content!) {
      expect(logprob).toBeLessThanOrEqual(0)
      expect(bytes === null ? token.includes('\ufffd') : Buffer.from(bytes).toString() === token).toBe(true)
      expect(top_logprobs).toHaveLength(3)
      const sorted = top_logprobs.map((entry) => entry.logprob)
      expect(sorted).toEqual([...sorted].sort((a, b) => b - a))
      expect(sorted[0]).toBeGreaterThanOrEqual(logprob)
    }
  })

  test('a stop string ends the answer', async () => {
    const body = extra({ ignore_eos: true }, chat)
    const whole = (await client.chat.completions.create(body)).choices[0]!.message.content!
    const stop = whole.slice(whole.length / 2, whole.length / 2 + 3)
    const stopped = await client.chat.completions.create({ ...body, stop: ['never in there', stop] })
    expect(stopped.choices[0]!.message.content).toBe(whole.slice(0, whole.indexOf(stop)))
    expect(stopped.choices[0]!.finish_reason).toBe('stop')
  })

  test('completions, whole and streamed', async () => {
    const body = { model: modelName, prompt: ['One', 'Two'], max_tokens: 6, temperature: 1, seed: 3, echo: true }
    const whole = await client.completions.create(body)
    const texts = ['', '']
    for await (const chunk of await client.completions.create({ ...body, stream: true }))
      for (const { index, text } of chunk.choices) texts[index] += text
    expect(texts).toEqual(whole.choices.map(({ text }) => text))
  })

  test('leaving a stream ends the request', async () => {
    const long = extra({ ignore_eos: true }, { ...chat, max_tokens: 400, stream: true as const })
    for await (const chunk of await client.chat.completions.create(long)) if (chunk.choices[0]?.delta.content) break
    const stream = await client.chat.completions.create(long)
    await untilBusy(llm)
    stream.controller.abort()
    await expectIdle(llm)
  })

  test('aborting a request that does not stream ends it', async () => {
    const before = (await llm.stats()).numSteps
    const abort = new AbortController()
    const long = extra({ ignore_eos: true }, { ...chat, max_tokens: 400 })
    const answer = client.chat.completions.create(long, { signal: abort.signal })
    const failed = expect(answer).rejects.toThrow(OpenAI.APIUserAbortError)
    await untilBusy(llm)
    abort.abort()
    await failed
    const { numSteps } = await expectIdle(llm)
    expect(numSteps - before).toBeLessThan(400)
  })

  test('faults are its typed errors', async () => {
    const create = (change: object): Promise<unknown> =>
      client.chat.completions.create({ ...chat, ...change } as OpenAI.ChatCompletionCreateParams)
    await expect(create({ temperature: 9 })).rejects.toThrow(OpenAI.BadRequestError)
    await expect(create({ temperature: 9 })).rejects.toMatchObject({ status: 400, param: 'temperature' })
    await expect(create({ model: 'gpt-5' })).rejects.toThrow(OpenAI.NotFoundError)
    await expect(create({ model: 'gpt-5' })).rejects.toMatchObject({
      code: 'model_not_found',
      type: 'invalid_request_error',
    })
    await expect(create({ stream: true, messages: [] })).rejects.toThrow(OpenAI.BadRequestError)
    await expect(create({ max_tokens: 100_000 })).rejects.toMatchObject({ code: 'context_length_exceeded' })
    await expect(client.models.retrieve('gpt-5')).rejects.toThrow(OpenAI.NotFoundError)
    await expect(client.moderations.create({ input: 'x' })).rejects.toThrow(OpenAI.NotFoundError)
  })
})
