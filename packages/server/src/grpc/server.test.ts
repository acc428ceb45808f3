import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials, status } from '@grpc/grpc-js'
import { LLM } from '@slipway/engine'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { ServerOptions } from '../options.ts'
import { serve, type RunningServer } from '../serve.ts'
import { GrpcClient, output, responsesOf, texts } from '../testing/grpc-client.ts'
import { expectIdle, modelName, startModel, untilBusy } from '../testing/harness.ts'
import { fixtureDirectory, goldenOf } from '../testing/pooling-fixtures.ts'

let llm: LLM
beforeAll(async () => {
  llm = startModel()
  await llm.ready
})
afterAll(() => llm.close())

async function withServer(
  options: ServerOptions,
  body: (client: GrpcClient, server: RunningServer) => Promise<void>,
  model: LLM = llm,
): Promise<void> {
  const server = await serve(model, { port: 0, grpcPort: 0, servedModelNames: [modelName], ...options })
  const client = new GrpcClient(server.grpcAddress!)
  try {
    await body(client, server)
  } finally {
    client.close()
    await server.close()
  }
}

const short = { model_name: modelName, inputs: texts('Hello'), parameters: { max_tokens: { int64_param: 2 } } }
const long = { ...short, parameters: { max_tokens: { int64_param: 400 }, ignore_eos: { bool_param: true } } }

test('live, ready and what there is', () =>
  withServer({}, async (client) => {
    expect(await client.ask('ServerLive', {})).toEqual({ live: true })
    expect(await client.ask('ServerReady', {})).toEqual({ ready: true })
    expect(await client.ask('ModelReady', { name: modelName })).toEqual({ ready: true })
    expect(await client.refusal('ModelReady', { name: 'other' })).toMatchObject({ code: status.NOT_FOUND })
    expect(await client.refusal('ModelReady', { name: modelName, version: '2' })).toMatchObject({
      code: status.NOT_FOUND,
    })
    expect(await client.ask('ServerMetadata', {})).toMatchObject({
      name: 'slipway',
      extensions: ['model_stream_infer'],
    })
    expect(await client.ask('ModelMetadata', { name: modelName })).toMatchObject({
      name: modelName,
      versions: ['1'],
      platform: 'slipway',
      inputs: expect.arrayContaining([{ name: 'text_input', datatype: 'BYTES', shape: [-1] }]),
      outputs: expect.arrayContaining([{ name: 'output_ids', datatype: 'INT64', shape: [-1, -1] }]),
    })
    // the metadata names what an answer has
    const { outputs } = await client.ask<{ outputs: { name: string }[] }>('ModelMetadata', { name: modelName })
    const answer = await client.ask('ModelInfer', short)
    expect(outputs.map(({ name }) => name)).toEqual(answer.outputs!.map(({ name }) => name))
  }))

test('while the model loads, and how health tells of the change and of the end', async () => {
  const loading = startModel()
  const server = await serve(loading, { port: 0, grpcPort: 0, servedModelNames: [modelName] })
  const client = new GrpcClient(server.grpcAddress!)
  const check = () => client.ask<{ status: string }>('Check', { service: 'inference.GRPCInferenceService' })
  const seen: string[] = []
  const watch = client.watch('')
  watch.on('data', ({ status: told }: { status: string }) => seen.push(told))
  const first = once(watch, 'data')
  expect(await check()).toEqual({ status: 'NOT_SERVING' })
  expect(await client.ask('ServerReady', {})).toEqual({ ready: false })
  expect(await client.ask('ModelReady', { name: modelName })).toEqual({ ready: false })
  expect(await client.refusal('ModelInfer', short)).toMatchObject({
    code: status.UNAVAILABLE,
    details: 'the model is still loading; try again in a moment',
  })
  await first
  const second = once(watch, 'data')
  await loading.ready
  await second
  expect(await check()).toEqual({ status: 'SERVING' })
  expect(await client.refusal('Check', { service: 'none' })).toMatchObject({ code: status.NOT_FOUND })
  const unknown = client.watch('none')
  expect((await once(unknown, 'data'))[0]).toEqual({ status: 'SERVICE_UNKNOWN' })
  unknown.on('error', () => {})
  unknown.cancel()
  const ended = once(watch, 'end')
  expect(await server.close()).toBe(true)
  await ended
  expect(seen).toEqual(['NOT_SERVING', 'SERVING', 'NOT_SERVING'])
  client.close()
  await loading.close()
})

test('keys, their limits, and the calls that need none', () =>
  withServer({ apiKeys: ['secret-key', { key: 'other-key', requestsPerMinute: 2 }] }, async (client) => {
    const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
    expect(await client.ask('ServerLive', {})).toEqual({ live: true })
    expect(await client.ask('Check', {})).toEqual({ status: 'SERVING' })
    for (const [method, request] of [
      ['ModelInfer', short],
      ['ModelMetadata', { name: modelName }],
    ] as const)
      expect(await client.refusal(method, request)).toMatchObject({
        code: status.UNAUTHENTICATED,
        details: expect.stringContaining('no API key was given'),
      })
    expect(await client.refusal('ModelInfer', short, bearer('wrong-key'))).toMatchObject({
      code: status.UNAUTHENTICATED,
      details: expect.stringContaining('not known here'),
    })
    await expect(responsesOf(client.stream())).rejects.toMatchObject({ code: status.UNAUTHENTICATED })
    expect(output(await client.ask('ModelInfer', short, bearer('secret-key')), 'completion_tokens')).toEqual([2])
    // each request of a stream counts
    const call = client.stream(bearer('other-key'))
    for (const id of ['a', 'b', 'c']) call.write({ ...short, id })
    call.end()
    const errors = (await responsesOf(call)).filter(({ error_message: message }) => message !== '')
    expect(errors).toMatchObject([
      { infer_response: { parameters: { error_code: { string_param: 'RESOURCE_EXHAUSTED' } } } },
    ])
    const refused = await client.refusal('ModelInfer', short, bearer('other-key'))
    expect(refused).toMatchObject({ code: status.RESOURCE_EXHAUSTED })
    expect(Number(refused.metadata.get('retry-after')[0])).toBeGreaterThan(0)
  }))

test('metrics and the log have calls as they have requests', async () => {
  const lines: Record<string, unknown>[] = []
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as never) })
  await withServer({ logger }, async (client, server) => {
    await client.ask('ModelInfer', short, { headers: { 'x-request-id': 'mine' } })
    await client.refusal('ModelInfer', { ...short, model_name: 'other' })
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    const lineOf = (start: string) => metrics.split('\n').find((line) => line.startsWith(start))
    const route = '/inference.GRPCInferenceService/ModelInfer'
    for (const code of [200, 404])
      expect(lineOf(`http_requests_total{method="GRPC",path="${route}",status_code="${code}"`)).toMatch(/ 1$/)
    expect(lineOf('vllm:generation_tokens_total{')).toMatch(/ 2$/)
    expect(lines.find(({ requestId }) => requestId === 'mine')).toMatchObject({
      route,
      status: 200,
      completionTokens: 2,
    })
  })
})

test('an end lets calls under way come to theirs, and cuts off what takes longer', async () => {
  await withServer({ drainSeconds: 60 }, async (client, server) => {
    const whole = client.ask('ModelInfer', long)
    const idle = responsesOf(client.stream())
    await untilBusy(llm)
    expect(await server.close()).toBe(true)
    expect(output(await whole, 'completion_tokens')).toEqual([400])
    expect(await idle).toEqual([])
  })
  await withServer({ drainSeconds: 0 }, async (client, server) => {
    const call = client.stream()
    const parameters = { ...long.parameters, n: { int64_param: 16 } }
    call.write({ ...long, parameters })
    const cut = client.refusal('ModelInfer', { ...long, parameters })
    await untilBusy(llm, 2)
    const responses = responsesOf(call)
    expect(await server.close()).toBe(false)
    expect(await cut).toMatchObject({ code: status.UNAVAILABLE })
    expect((await responses).at(-1)!.error_message).toContain('the server ended this request')
  })
  await expectIdle(llm)
})

test('over TLS, and where there is no socket to be had', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-grpc-'))
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', ...kind, '-keyout', key, '-out', cert, ...subject], { stdio: 'pipe' })
  await withServer({ sslKeyfile: key, sslCertfile: cert }, async (plain, server) => {
    const client = new GrpcClient(server.grpcAddress!, credentials.createSsl(readFileSync(cert)))
    expect(output(await client.ask('ModelInfer', short), 'completion_tokens')).toEqual([2])
    expect(await plain.refusal('ServerLive', {})).toMatchObject({ code: status.UNAVAILABLE })
    client.close()
  })
  rmSync(folder, { recursive: true })
  await withServer({}, async (_, server) => {
    const taken = Number(server.grpcAddress!.split(':')[1])
    const message = `port ${taken} is in use; choose another with --grpc-port`
    await expect(serve(llm, { port: 0, grpcPort: taken })).rejects.toThrow(message)
  })
})

test('embeddings and classes', async () => {
  for (const [name, tensor] of [
    ['bert-embed', 'embedding'],
    ['bert-classify', 'probs'],
  ] as const) {
    const model = await LLM.load(fixtureDirectory(name), { packedCache: false })
    const cases = goldenOf(name).cases.filter(({ text }) => typeof text === 'string')
    await withServer(
      {},
      async (client) => {
        const inputs = texts(...cases.map(({ text }) => text as string))
        const answer = await client.ask('ModelInfer', { model_name: modelName, inputs })
        const { shape, datatype } = answer.outputs!.find((one) => one.name === tensor)!
        const expected = cases.flatMap((one) => Array.from(one.expected))
        expect({ shape, datatype }).toEqual({ shape: [cases.length, expected.length / cases.length], datatype: 'FP32' })
        for (const [i, value] of output(answer, tensor).entries()) expect(value).toBeCloseTo(expected[i]!, 3)
        expect(output(answer, 'prompt_tokens')).toEqual(cases.map(({ ids }) => ids.length))
        const { outputs } = await client.ask<{ outputs: object[] }>('ModelMetadata', { name: modelName })
        const own = answer.outputs!.map((one) => ({ ...one, contents: undefined, parameters: undefined }))
        expect(outputs).toMatchObject(own.map(({ name: of, datatype: type }) => ({ name: of, datatype: type })))
        // streamed, it is one response
        const call = client.stream()
        call.end({ model_name: modelName, inputs })
        const responses = await responsesOf(call)
        expect(responses.map(({ infer_response: one }) => output(one, tensor))).toEqual([output(answer, tensor)])
        expect(await client.refusal('ModelInfer', { ...short, inputs })).toMatchObject({
          code: status.INVALID_ARGUMENT,
          details: 'max_tokens: there is no such parameter; remove it',
        })
      },
      model,
    )
    await model.close()
  }
})
