import { expect, test } from 'vitest'
import { modelName, useClient, useModel } from './testing/harness.ts'

const llm = useModel()
const client = useClient(llm)

const prompt = 'one two three'
const body = { model: modelName, prompt, max_tokens: 6, temperature: 0 }
/** vLLM's extra parameters, which the client passes on but does not know. */
const extra = <T extends object>(parameters: object, given: T): T => ({ ...given, ...parameters })

test('echo with logprobs: the prompt and the answer as one text', async () => {
  const plain = await client.completions.create({ ...body, logprobs: 1 })
  const { choices } = await client.completions.create({ ...body, logprobs: 1, echo: true, n: 2 })
  expect(choices).toHaveLength(2)
  for (const { text, logprobs } of choices) {
    const { tokens, token_logprobs, top_logprobs, text_offset } = logprobs!
    expect(text).toBe(prompt + plain.choices[0]!.text)
    expect(tokens!.join('')).toBe(text)
    expect(text_offset).toEqual(tokens!.map((_, i) => tokens!.slice(0, i).join('').length))
    expect([token_logprobs![0], top_logprobs![0]]).toEqual([null, null])
    const after = tokens!.length - plain.choices[0]!.logprobs!.tokens!.length
    expect(token_logprobs!.slice(1).every((logprob) => logprob <= 0)).toBe(true)
    expect(token_logprobs!.slice(after)).toEqual(plain.choices[0]!.logprobs!.token_logprobs)
  }
})

test('echo with logprobs and no answer at all, as those who score texts want it', async () => {
  const { choices, usage } = await client.completions.create({ ...body, max_tokens: 0, logprobs: 2, echo: true })
  expect(choices[0]).toMatchObject({ text: prompt, finish_reason: 'length' })
  expect(choices[0]!.logprobs!.tokens!.join('')).toBe(prompt)
  expect(usage!.completion_tokens).toBe(0)
})

test('a stream of echo with logprobs has the same pieces', async () => {
  const asked = { ...body, logprobs: 1, echo: true }
  const whole = await client.completions.create(asked)
  const streamed = { text: '', tokens: [] as string[], token_logprobs: [] as number[], text_offset: [] as number[] }
  for await (const { choices } of await client.completions.create({ ...asked, stream: true }))
    for (const { text, logprobs } of choices) {
      streamed.text += text
      streamed.tokens.push(...(logprobs?.tokens ?? []))
      streamed.token_logprobs.push(...(logprobs?.token_logprobs ?? []))
      streamed.text_offset.push(...(logprobs?.text_offset ?? []))
    }
  const { text, logprobs } = whole.choices[0]!
  const { tokens, token_logprobs, text_offset } = logprobs!
  expect(streamed).toEqual({ text, tokens, token_logprobs, text_offset })
})

test('prompt_logprobs on both routes, by token id', async () => {
  type Listed = { prompt_logprobs: (Record<string, { logprob: number; rank: number; decoded_token: string }> | null)[] }
  const completion = await client.completions.create(extra({ prompt_logprobs: 1 }, body))
  const { prompt_logprobs: listed } = completion.choices[0] as unknown as Listed
  const ids = llm.tokenizer.encode(prompt)
  expect(listed[0]).toBeNull()
  for (const [i, id] of ids.entries())
    if (i > 0) expect(listed[i]![id]).toMatchObject({ decoded_token: llm.tokenizer.decode([id]) })
  const chat = await client.chat.completions.create(
    extra(
      { prompt_logprobs: 0 },
      { model: modelName, messages: [{ role: 'user' as const, content: 'Hi' }], max_tokens: 2 },
    ),
  )
  expect((chat as unknown as Listed).prompt_logprobs).toHaveLength(chat.usage!.prompt_tokens)
})

test('best_of gives the best, and counts what it took', async () => {
  const asked = { ...body, temperature: 1.5, seed: 5, ignore_eos: true }
  const { choices, usage } = await client.completions.create({ ...asked, n: 2, best_of: 4 })
  expect(choices.map(({ index }) => index)).toEqual([0, 1])
  expect(usage!.completion_tokens).toBe(24)
})

test('typical_p, allowed_token_ids and bad words reach the engine', async () => {
  const allowed = llm.tokenizer.encode(' one two')
  const given = extra({ typical_p: 0.5, allowed_token_ids: allowed, bad_words: ['one'] }, body)
  const { choices } = await client.completions.create(given)
  expect(choices[0]!.text).toMatch(/^( two)+$/)
  const fault = client.completions.create(extra({ typical_p: 2 }, body))
  await expect(fault).rejects.toThrow(/400 typical_p/)
  const none = client.completions.create(extra({ allowed_token_ids: [5], bad_words_token_ids: [5] }, body))
  await expect(none).rejects.toThrow(/400 allowed_token_ids and bad_words leave no token/)
})

test('beam search on both routes', async () => {
  const best = await llm.beamSearch(prompt, { beamWidth: 3, n: 2, maxTokens: 6, earlyStopping: 'never' })
  const asked = { use_beam_search: true, beam_width: 3, early_stopping: 'never' }
  const { choices } = await client.completions.create(extra(asked, { ...body, n: 2 }))
  expect(choices.map(({ text }) => text)).toEqual(best.outputs.map(({ text }) => text))
  const messages = [{ role: 'user' as const, content: 'Hi' }]
  const chat = await client.chat.completions.create(
    extra({ use_beam_search: true, length_penalty: 2 }, { model: modelName, messages, max_tokens: 8, n: 2 }),
  )
  expect(chat.choices.map(({ index }) => index)).toEqual([0, 1])
  expect(chat.choices[0]!.message.content).not.toBe(chat.choices[1]!.message.content)
})
