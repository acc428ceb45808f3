import type { LLM } from '@slipway/engine'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { eventsOf, expectIdle, modelName, post, startModel } from '../testing/harness.ts'

let llm: LLM
let app: ReturnType<typeof createApp>
beforeAll(async () => {
  llm = startModel()
  await llm.ready
  app = createApp(llm, { servedModelNames: [modelName] })
})
afterAll(() => llm.close())

const base = { model: modelName, temperature: 1, seed: 4, max_tokens: 120 }
const chat = { ...base, messages: [{ role: 'user', content: 'Tell me about Anna, in JSON.' }] }
const properties = { name: { type: 'string', maxLength: 12 }, age: { type: 'integer', minimum: 0, maximum: 120 } }
const schema = { type: 'object', properties, required: ['name', 'age'], additionalProperties: false }

async function contentOf(body: object): Promise<string> {
  const response = await post(app, '/v1/chat/completions', { ...chat, ...body })
  const answer = (await response.json()) as { choices: { message: { content: string }; finish_reason: string }[] }
  expect(response.status, JSON.stringify(answer)).toBe(200)
  return answer.choices[0]!.message.content
}

describe('every way to ask', () => {
  const isPerson = (text: string): void => {
    const { name, age, ...rest } = JSON.parse(text) as { name: string; age: number }
    expect([...name].length).toBeLessThanOrEqual(12)
    expect(age).toBeLessThanOrEqual(120)
    expect(rest).toEqual({})
  }

  test.each<[object]>([
    [{ response_format: { type: 'json_schema', json_schema: { name: 'person', strict: true, schema } } }],
    [{ response_format: { type: 'json_schema', json_schema: { name: 'person', schema } } }],
    [{ guided_json: schema }],
    [{ guided_json: JSON.stringify(schema) }],
    [{ structured_outputs: { json: schema, disable_any_whitespace: true } }],
  ])('a schema: %j', async (body) => {
    isPerson(await contentOf(body))
  })

  test.each<[object, RegExp]>([
    [{ guided_regex: '[a-f]{3}-\\d' }, /^[a-f]{3}-\d$/],
    [{ structured_outputs: { regex: '[a-f]{3}-\\d' } }, /^[a-f]{3}-\d$/],
    [{ guided_choice: ['left', 'right'] }, /^(left|right)$/],
    [{ structured_outputs: { choice: ['left', 'right'] } }, /^(left|right)$/],
    [{ guided_grammar: 'root ::= "x" [0-9]{1,5} "y"' }, /^x\d+y$/],
    [
      { structural_tag: { type: 'tag', begin: '<n>', content: { type: 'regex', pattern: '\\d' }, end: '</n>' } },
      /^<n>\d<\/n>$/,
    ],
    [{ response_format: { type: 'structural_tag', format: { type: 'const_string', value: 'so' } } }, /^so$/],
  ])('%j', async (body, pattern) => {
    expect(await contentOf(body)).toMatch(pattern)
  })

  test('any JSON object', async () => {
    const content = 'Tom is 12 years old and lives in Paris. Give me name, age and city as JSON.'
    const messages = [{ role: 'user', content }]
    const body = { messages, response_format: { type: 'json_object' }, temperature: 0 }
    expect(JSON.parse(await contentOf(body))).toMatchObject({ name: 'Tom', age: 12 })
  })

  test('text is no constraint, and completions take the same parameters', async () => {
    expect(await contentOf({ response_format: { type: 'text' } })).toBe(await contentOf({}))
    const response = await post(app, '/v1/completions', {
      ...base,
      prompt: 'One or two?',
      guided_choice: ['one', 'two'],
    })
    const { choices } = (await response.json()) as { choices: { text: string }[] }
    expect(['one', 'two']).toContain(choices[0]!.text)
  })

  test('streamed is whole', async () => {
    const body = { ...chat, guided_json: schema }
    const response = await post(app, '/v1/chat/completions', { ...body, stream: true })
    const chunks = eventsOf(await response.text()).filter((event) => event !== '[DONE]') as {
      choices: { delta: { content?: string } }[]
    }[]
    const streamed = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
    expect(streamed).toBe(await contentOf({ guided_json: schema }))
    await expectIdle(llm)
  })
})

describe('refusals, also of streams', () => {
  test.each<[object, string, string]>([
    [{ guided_json: schema, guided_regex: 'a' }, 'guided_regex', 'cannot be combined with guided_json'],
    [{ response_format: { type: 'json_object' }, guided_choice: ['a'] }, 'guided_choice', 'cannot be combined'],
    [
      { structured_outputs: { regex: 'a', choice: ['a'] } },
      'structured_outputs',
      'regex and choice cannot be combined',
    ],
    [{ structured_outputs: {} }, 'structured_outputs', 'names no constraint'],
    [{ guided_regex: '(?=x)' }, 'guided_regex', 'looks ahead'],
    [{ guided_json: { type: 'array', uniqueItems: true } }, 'guided_json', 'uniqueItems'],
    [{ guided_json: '{' }, 'guided_json', 'is no JSON'],
    [{ guided_grammar: 'root ::= nowhere' }, 'guided_grammar', 'Rule "nowhere" is not defined'],
    [{ response_format: { type: 'xml' } }, 'response_format.type', ''],
    [
      { response_format: { type: 'json_schema', json_schema: { schema } } },
      'response_format.json_schema.name',
      'is required',
    ],
    [{ guided_decoding_backend: 'outlines' }, 'guided_decoding_backend', 'no such parameter'],
  ])('%j', async (body, param, message) => {
    const response = await post(app, '/v1/chat/completions', { ...chat, ...body, stream: true })
    expect(response.status).toBe(400)
    const { error } = (await response.json()) as { error: { param: string; message: string } }
    expect(error.param).toBe(param)
    expect(error.message).toContain(message)
  })
})
