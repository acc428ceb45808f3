import { describe, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { modelName, post, useClient, useModel } from '../testing/harness.ts'

interface Tokens {
  readonly count: number
  readonly max_model_len: number
  readonly tokens: number[]
  readonly token_strs: string[] | null
}

const llm = useModel()
const app = createApp(llm, { servedModelNames: [modelName] })
const client = useClient(llm)

const tokenize = async (body: object): Promise<Tokens> => {
  const response = await post(app, '/tokenize', body)
  expect(response.status).toBe(200)
  return (await response.json()) as Tokens
}
const detokenize = async (tokens: number[]): Promise<unknown> =>
  (await post(app, '/detokenize', { model: modelName, tokens })).json()

describe('tokens of a text', () => {
  test('are those that a completion counts, and come back as the text', async () => {
    for (const prompt of ['one two three', 'Schnee – ❄️ — 雪', '<|im_start|>user\nHi<|im_end|>', '']) {
      const { count, max_model_len, tokens, token_strs } = await tokenize({ model: modelName, prompt })
      expect([count, max_model_len, token_strs]).toEqual([tokens.length, 512, null])
      expect(await detokenize(tokens)).toEqual({ prompt })
      if (prompt === '') continue
      const { usage } = await client.completions.create({ model: modelName, prompt, max_tokens: 1 })
      expect(usage!.prompt_tokens).toBe(count)
    }
  })

  test('may be told as the vocabulary has them, without a model named', async () => {
    const { tokens, token_strs } = await tokenize({ prompt: 'one two', return_token_strs: true })
    expect(token_strs).toEqual(tokens.map((id) => llm.tokenizer.idToToken(id)))
    expect(token_strs!.join('')).toBe('oneĠtwo')
  })
})

describe('tokens of a conversation', () => {
  const messages = [{ role: 'user' as const, content: 'What is 12 * 34?' }]
  const parameters = { type: 'object', properties: { expression: { type: 'string' } } }
  const tools = [{ type: 'function' as const, function: { name: 'calculator', parameters } }]

  test('are those that a chat counts', async () => {
    for (const change of [{}, { tools }, { chat_template_kwargs: { enable_thinking: false } }]) {
      const { count, tokens } = await tokenize({ messages, ...change })
      const { usage } = await client.chat.completions.create({
        model: modelName,
        messages,
        ...change,
        max_tokens: 1,
      })
      expect(usage!.prompt_tokens).toBe(count)
      expect(tokens[0]).toBe(llm.tokenizer.tokenToId('<|im_start|>'))
    }
  })

  test('end where the answer begins, unless they should not', async () => {
    const open = await tokenize({ messages, add_generation_prompt: false, add_special_tokens: false })
    const whole = await tokenize({ messages })
    expect(whole.tokens.slice(0, open.count)).toEqual(open.tokens)
    expect(await detokenize(whole.tokens.slice(open.count))).toEqual({ prompt: '<|im_start|>assistant\n' })
  })
})

test.each<[string, object, number, string, string]>([
  ['/tokenize', {}, 400, 'prompt', 'is required, or messages'],
  ['/tokenize', { prompt: 'a', messages: [{ role: 'user', content: 'b' }] }, 400, 'messages', 'give one of them'],
  ['/tokenize', { prompt: 'a', add_generation_prompt: true }, 400, 'add_generation_prompt', 'needs messages'],
  ['/tokenize', { prompt: 'a', chat_template: 'b' }, 400, 'chat_template', 'no such parameter'],
  ['/tokenize', { prompt: 'a', model: 'other' }, 404, 'model', 'does not exist'],
  ['/detokenize', {}, 400, 'tokens', 'is required'],
  ['/detokenize', { tokens: [1, -1] }, 400, 'tokens[1]', '-1 is outside the vocabulary'],
  ['/detokenize', { tokens: [1, 1.5] }, 400, 'tokens[1]', 'int'],
  ['/detokenize', { tokens: [2 ** 40] }, 400, 'tokens[0]', 'is outside the vocabulary'],
])('%s %j is refused', async (path, body, status, param, message) => {
  const response = await post(app, path, body)
  expect(await response.json()).toMatchObject({
    error: { param, message: expect.stringContaining(message) as unknown },
  })
  expect(response.status).toBe(status)
})

test('what no context takes is refused', async () => {
  const long = await post(app, '/tokenize', { prompt: 'a'.repeat(100_000) })
  const many = await post(app, '/detokenize', { tokens: Array.from({ length: 513 }, () => 1) })
  expect([long.status, many.status]).toEqual([400, 400])
  const code = 'context_length_exceeded'
  expect(await long.json()).toMatchObject({ error: { param: 'prompt', code } })
  expect(await many.json()).toMatchObject({ error: { param: 'tokens', code } })
})

test('a key is asked for as everywhere', async () => {
  const closed = createApp(llm, { servedModelNames: [modelName], apiKeys: ['secret-key'] })
  const headers = { 'content-type': 'application/json' }
  expect((await post(closed, '/tokenize', { prompt: 'a' })).status).toBe(401)
  const shown = { headers: { ...headers, 'x-api-key': 'secret-key' } }
  expect((await post(closed, '/tokenize', { prompt: 'a' }, shown)).status).toBe(200)
})
