import { connect } from 'node:net'
import { once } from 'node:events'
import { status } from '@grpc/grpc-js'
import type { LLM } from '@slipway/engine'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve, type RunningServer } from '../serve.ts'
import { GrpcClient, output, responsesOf, texts } from '../testing/grpc-client.ts'
import { expectIdle, modelName, slowness, startModel } from '../testing/harness.ts'

// The classes of attacks that HTTP is tried with, as far as gRPC has them, each beside another client's call.

const apiKey = 'a-key-of-the-test'
const headers = { authorization: `Bearer ${apiKey}` }
const parameters = { max_tokens: { int64_param: 1 } }
const request = { model_name: modelName, inputs: texts('Hello'), parameters }
const victim = {
  ...request,
  parameters: { max_tokens: { int64_param: 40 }, seed: { int64_param: 3 }, ignore_eos: { bool_param: true } },
}

let llm: LLM
let server: RunningServer
let client: GrpcClient
const errors: unknown[] = []
const other = async (): Promise<unknown> => output(await client.ask('ModelInfer', victim, { headers }), 'text_output')
let alone: unknown
beforeAll(async () => {
  llm = startModel()
  await llm.ready
  const onInternalError = (error: unknown): void => void errors.push(error)
  const names = { servedModelNames: [modelName], apiKeys: [apiKey] }
  server = await serve(llm, { port: 0, grpcPort: 0, maxBodyBytes: 100_000, onInternalError, ...names })
  client = new GrpcClient(server.grpcAddress!)
  alone = await other()
})
afterAll(async () => {
  client.close()
  await server.close()
  await llm.close()
})

/** Tries it beside somebody else, and sees that all is well afterwards. */
async function beside(attempt: () => Promise<unknown>): Promise<void> {
  const another = other()
  const started = performance.now()
  await attempt()
  expect(performance.now() - started).toBeLessThan(5000 * slowness)
  expect(await another).toEqual(alone)
  expect(errors).toEqual([])
  expect(({} as { polluted?: number }).polluted).toBeUndefined()
  await expectIdle(llm)
}

const input = (change: object): object => ({ ...request, inputs: [{ ...texts('a')[0], ...change }] })
const asked = (name: string, value: object): object => ({ ...request, parameters: { ...parameters, [name]: value } })
const sampling = (text: string): object => ({
  ...request,
  inputs: [...texts('a'), { ...texts(text)[0], name: 'sampling_parameters' }],
})
const invalid = [status.INVALID_ARGUMENT, status.OUT_OF_RANGE]

test.each<[string, object, readonly status[]]>([
  ['a message beyond its bound', { ...request, inputs: texts('x'.repeat(200_000)) }, [status.RESOURCE_EXHAUSTED]],
  ['a text beyond all tokens', { ...request, inputs: texts('x'.repeat(90_000)) }, invalid],
  ['a huge shape', input({ shape: [2 ** 40, 2 ** 20] }), invalid],
  ['a negative shape', input({ shape: [-1] }), invalid],
  ['a shape of many dimensions', input({ shape: Array.from({ length: 5000 }, () => 1) }), invalid],
  ['no data type', input({ datatype: '' }), invalid],
  ['contents of another type', input({ contents: { fp32_contents: [1] } }), invalid],
  [
    'raw contents that say they are longer',
    { ...input({ contents: null }), raw_input_contents: [Buffer.from([255, 255, 255, 127])] },
    invalid,
  ],
  ['raw contents for no input', { ...request, raw_input_contents: [Buffer.alloc(4), Buffer.alloc(4)] }, invalid],
  ['1,000 inputs of one name', { ...request, inputs: Array.from({ length: 1000 }, () => texts('a')[0]) }, invalid],
  ['5,000 prompts', { ...request, inputs: texts(...'a'.repeat(5000)) }, invalid],
  ['deep JSON', sampling('['.repeat(15_000)), invalid],
  ['a prototype in JSON', sampling('{"__proto__":{"polluted":1}}'), invalid],
  ['a prototype among the parameters', asked('__proto__x', { string_param: 'x' }), invalid],
  ['a constructor among the parameters', asked('constructor', { string_param: 'x' }), invalid],
  ['a huge number of tokens', asked('max_tokens', { int64_param: 2 ** 52 }), invalid],
  ['a number that is none', asked('temperature', { double_param: Number.NaN }), invalid],
  ['a number beyond all', asked('top_p', { double_param: Number.POSITIVE_INFINITY }), invalid],
  ['an expression that explodes', asked('guided_regex', { string_param: '((a{1,999}){1,999}){1,999}' }), invalid],
  ['a model that is a path', { ...request, model_name: '../../../etc/passwd' }, [status.NOT_FOUND]],
])('%s', async (_, bad, codes) => {
  await beside(async () => expect(codes).toContain((await client.refusal('ModelInfer', bad, { headers })).code))
  // in a stream the fault is of this request alone, or of the call
  await beside(async () => {
    const call = client.stream({ headers })
    call.on('error', () => {})
    call.write(bad)
    call.write(request)
    call.end()
    const answers = await responsesOf(call).catch((error: { code: status }) => error.code)
    if (typeof answers === 'number') expect(codes).toContain(answers)
    else {
      expect(answers.filter(({ error_message: fault }) => fault)).toHaveLength(1)
      expect(answers.filter(({ error_message: fault }) => !fault).length).toBeGreaterThan(0)
    }
  })
})

test.each([
  ['no key', {}],
  ['another key', { authorization: 'Bearer wrong' }],
  ['the beginning of the key', { authorization: `Bearer ${apiKey.slice(0, -1)}` }],
  ['the key and more', { authorization: `Bearer ${apiKey}x` }],
  ['a long key', { authorization: `Bearer ${'x'.repeat(4000)}` }],
])('%s opens nothing', async (_, wrong) => {
  for (const [method, asking] of [
    ['ModelInfer', request],
    ['ModelMetadata', { name: modelName }],
  ] as const)
    await beside(async () =>
      expect((await client.refusal(method, asking, { headers: wrong as Record<string, string> })).code).toBe(
        status.UNAUTHENTICATED,
      ),
    )
})

const many = (count: number, length: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-flood-${i}`, 'x'.repeat(length)]))

test.each([
  ['one value of 1 MB', many(1, 1_000_000)],
  ['2,000 entries', many(2000, 1)],
  ['entries of 200 kB', many(100, 2000)],
])('a flood of metadata: %s', (_, flood) =>
  beside(async () => {
    // it may cost the flooder its connection, and nobody else theirs
    const flooder = new GrpcClient(server.grpcAddress!)
    for (let i = 0; i < 5; i++) {
      const bad = { headers: { ...headers, ...flood }, deadline: Date.now() + 4000 }
      const { code } = await flooder.refusal('ModelInfer', request, bad)
      expect([status.RESOURCE_EXHAUSTED, status.INTERNAL, status.UNAVAILABLE]).toContain(code)
    }
    flooder.close()
  }),
)

test.each([
  ['HTTP/1.1', 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'],
  ['bytes of no protocol', '\x16\x03\x01\x02\x00\x01\x00\r\n\r\n'],
  ['frames of no length', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x01\x05\x00\x00\x00\x01'],
])('%s at the port', (_, bytes) =>
  beside(async () => {
    const socket = connect(Number(server.grpcAddress!.split(':').at(-1)), '127.0.0.1')
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.end(Buffer.from(bytes, 'latin1'))
    await once(socket, 'close')
  }),
)
