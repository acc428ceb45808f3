import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import type { ServerOptions } from '../options.ts'
import type { OpenApi, Schema } from '../testing/fuzz/document.ts'
import { templateOf } from './document.ts'

let llm: LLM
beforeAll(async () => void (llm = await LLM.load(miniModelDirectory)))
afterAll(() => llm.close())

const everything: ServerOptions = { adminKey: 'admin-key', apiKeys: ['some-key'], runtimeLora: true }

async function documentOf(options: ServerOptions): Promise<OpenApi> {
  const response = await createApp(llm, options).request('/openapi.json')
  expect(response.status).toBe(200)
  return (await response.json()) as OpenApi
}

test.each<[string, ServerOptions]>([
  ['with everything', everything],
  ['with as little as there may be', { playground: false }],
])('the document of a server %s has the routes of its app, and is valid', async (_, options) => {
  const document = await documentOf(options)
  const documented = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  // what answers all methods refuses, or passes on
  const routed = createApp(llm, options).routes.filter(({ method }) => method !== 'ALL')
  expect(documented.sort()).toEqual(routed.map(({ method, path }) => `${method} ${templateOf(path)}`).sort())
  expect(await new Validator().validate({ ...document })).toEqual({ valid: true })
})

test('it names who may ask', async () => {
  const { paths } = await documentOf(everything)
  expect(paths['/health']!['get']!.security).toEqual([])
  expect(paths['/v1/models']!['get']!.security).toEqual([{}, { bearer: [] }, { apiKey: [] }])
  expect(paths['/pause']!['post']!.security).toEqual([{ admin: [] }])
})

describe('what it says of bodies', async () => {
  const model = await LLM.load(miniModelDirectory)
  const app = createApp(model, everything)
  const document = (await (await app.request('/openapi.json')).json()) as OpenApi
  await model.close()
  const ajv = new Ajv2020({ strict: false }).addSchema(document, 'openapi')
  const fits = (name: string, body: unknown): boolean =>
    ajv.validate({ $ref: `openapi#/components/schemas/${name}` }, body)
  const messages = [{ role: 'user', content: 'Hi' }]
  const tools = [{ type: 'function', function: { name: 'add', parameters: { type: 'object' } } }]

  test.each<[string, object, object]>([
    ['ChatCompletionRequest', { model: 'm', messages, tools, stop: ['a'] }, { model: 'm', messages: [{ role: 'x' }] }],
    ['ChatCompletionRequest', { model: 'm', messages, store: false }, { model: 'm', messages: [] }],
    [
      'ChatCompletionRequest',
      { model: 'm', messages, function_call: 'none' },
      { model: 'm', messages, functions: [1] },
    ],
    ['CompletionRequest', { model: 'm', prompt: [[1, 2], 'a'] }, { model: 'm', prompt: [[0.5]] }],
    ['CompletionRequest', { model: 'm', prompt: 'a', early_stop_config: false }, { model: 'm', prompt: [] }],
    ['ResponsesRequest', { model: 'm', input: messages }, { model: 'm', input: [{ type: 'image' }] }],
    ['ResponsesRequest', { model: 'm', input: [{ type: 'reasoning' }] }, { model: 'm', input: 'a', store: true }],
    ['MessagesRequest', { model: 'm', max_tokens: 1, messages }, { model: 'm', messages }],
    ['ScoreRequest', { model: 'm', queries: 'a', documents: ['b'] }, { model: 'm', queries: 1 }],
    ['RerankRequest', { model: 'm', query: 'a', documents: ['b', { text: 'c' }] }, { model: 'm', query: 'a' }],
    ['TokenizeRequest', { prompt: 'a' }, { prompt: 'a', unknown: 1 }],
    ['DetokenizeRequest', { tokens: [1, 2] }, { tokens: ['1'] }],
  ])('%s: %j, and not %j', (name, good, bad) => {
    expect([fits(name, good), fits(name, bad)]).toEqual([true, false])
  })

  test('nothing is left open but what is taken unread', () => {
    const open = Object.entries(document.components.schemas)
      .filter(([name]) => name.endsWith('Request'))
      .flatMap(([name, schema]) => openParts(schema, name))
    // a client may send back the parts of an answer that it has read
    const unread = /\.(logprobs|parsed|parsed_arguments|annotations\[\]|citations\[\])$/
    expect(open.filter((place) => !unread.test(place))).toEqual([])
  })
})

/** Where a schema says nothing; the values of free objects are no parameters. */
function openParts(schema: Schema, place: string): string[] {
  const { properties = {}, items, anyOf = [], oneOf = [] } = schema
  if (Object.keys(schema).length === 0) return [place]
  return [
    ...Object.entries(properties).flatMap(([name, inner]) => openParts(inner, `${place}.${name}`)),
    ...(items ? openParts(items, `${place}[]`) : []),
    ...[...anyOf, ...oneOf].flatMap((branch) => openParts(branch, place)),
  ]
}
