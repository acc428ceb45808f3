import { connect } from 'node:http2'
import { status } from '@grpc/grpc-js'
import type { LLM } from '@slipway/engine'
import type OpenAI from 'openai'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { RunningServer } from '../serve.ts'
import { GrpcClient, output, responsesOf, texts } from '../testing/grpc-client.ts'
import { loadServices } from './protos.ts'
import { expectIdle, modelName, serveClient, startModel, untilBusy } from '../testing/harness.ts'
import { serve } from '../serve.ts'

let llm: LLM
let server: RunningServer
let client: GrpcClient
let http: { client: OpenAI; close: () => Promise<unknown> }
beforeAll(async () => {
  llm = startModel()
  await llm.ready
  server = await serve(llm, { port: 0, grpcPort: 0, servedModelNames: [modelName], maxBodyBytes: 100_000 })
  http = await serveClient(llm, {})
  client = new GrpcClient(server.grpcAddress!)
})
afterAll(async () => {
  client.close()
  await server.close()
  await http.close()
  await llm.close()
})

const int = (int64_param: number) => ({ int64_param })
const text = (string_param: string) => ({ string_param })
const sampled = { temperature: { double_param: 0.8 }, seed: int(7), max_tokens: int(24), n: int(2) }
const long = { max_tokens: int(400), ignore_eos: { bool_param: true } }
const prompts = ['The ship', 'Once upon a time there was']

describe('ModelInfer', () => {
  test('gives what HTTP gives for the same seed, for texts and for their ids', async () => {
    const asked = { model: modelName, prompt: prompts, temperature: 0.8, seed: 7, max_tokens: 24, n: 2 }
    const { choices, usage } = await http.client.completions.create(asked)
    const response = await client.ask('ModelInfer', {
      model_name: modelName,
      id: 'one',
      inputs: texts(...prompts),
      parameters: sampled,
    })
    expect(response).toMatchObject({ model_name: modelName, model_version: '1', id: 'one' })
    expect(output(response, 'text_output')).toEqual(choices.map((choice) => choice.text))
    expect(output(response, 'finish_reason')).toEqual(choices.map(({ finish_reason }) => finish_reason))
    expect(output(response, 'index')).toEqual([0, 1, 2, 3])
    const sum = (name: string): number => (output(response, name) as number[]).reduce((a, b) => a + b, 0)
    expect(sum('prompt_tokens')).toBe(usage!.prompt_tokens)
    expect(sum('completion_tokens')).toBe(usage!.completion_tokens)
    const lengths = output(response, 'completion_tokens') as number[]
    const ids = response.outputs!.find(({ name }) => name === 'output_ids')!
    expect(ids.shape).toEqual([4, Math.max(...lengths)])
    for (const [i, length] of lengths.entries()) {
      const row = ids.contents!.int64_contents!.slice(i * ids.shape[1]!, (i + 1) * ids.shape[1]!)
      expect(row.slice(length).every((id) => id === -1)).toBe(true)
      expect(row.slice(0, length).every((id) => id >= 0)).toBe(true)
    }

    // a row for each prompt, the shorter one filled up
    const rows = prompts.map((prompt) => llm.tokenizer.encode(prompt))
    const cols = Math.max(...rows.map((row) => row.length))
    const filled = rows.flatMap((row) => [...row, ...Array.from({ length: cols - row.length }, () => 0)])
    const byIds = await client.ask('ModelInfer', {
      model_name: modelName,
      inputs: [
        { name: 'input_ids', datatype: 'INT64', shape: [2, cols], contents: { int64_contents: filled } },
        { name: 'input_lengths', datatype: 'INT32', shape: [2], contents: { int_contents: rows.map((r) => r.length) } },
      ],
      parameters: sampled,
      outputs: [{ name: 'text_output' }],
    })
    expect(byIds.outputs!.map(({ name }) => name)).toEqual(['text_output'])
    expect(output(byIds, 'text_output')).toEqual(output(response, 'text_output'))
  })

  test('raw contents in, raw contents out', async () => {
    const prompt = Buffer.from(prompts[0]!)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(prompt.length)
    const request = { model_name: modelName, parameters: { max_tokens: int(8), temperature: int(0) } }
    const head = { name: 'text_input', datatype: 'BYTES', shape: [1, 1] }
    const raw = await client.ask('ModelInfer', {
      ...request,
      inputs: [head],
      raw_input_contents: [Buffer.concat([length, prompt])],
    })
    const typed = await client.ask('ModelInfer', { ...request, inputs: texts(prompts[0]!) })
    const contentOf = (name: string): Buffer =>
      raw.raw_output_contents![raw.outputs!.findIndex((tensor) => tensor.name === name)]!
    const expected = output(typed, 'text_output')[0] as string
    expect(contentOf('text_output').subarray(4).toString()).toBe(expected)
    expect(contentOf('text_output').readUInt32LE(0)).toBe(Buffer.byteLength(expected))
    const ids = contentOf('output_ids')
    const values = Array.from({ length: ids.length / 8 }, (_, i) => Number(ids.readBigInt64LE(i * 8)))
    expect(values).toEqual(output(typed, 'output_ids'))
  })

  test("lists, objects and fractions as JSON text, and the input of Triton's vLLM backend", async () => {
    const asked = { temperature: 0.5, seed: 3, max_tokens: 12, stop: ['zzz', 'the'], logit_bias: { 5: -100 } }
    const { choices } = await http.client.completions.create({ model: modelName, prompt: prompts[0]!, ...asked })
    const byParameters = await client.ask('ModelInfer', {
      model_name: modelName,
      inputs: texts(prompts[0]!),
      parameters: {
        temperature: text('0.5'),
        seed: { uint64_param: 3 },
        max_tokens: int(12),
        stop: text('["zzz", "the"]'),
        logit_bias: text('{"5": -100}'),
      },
    })
    const json = { ...asked, temperature: '0.5' }
    const contents = { bytes_contents: [Buffer.from(JSON.stringify(json))] }
    const byInput = await client.ask('ModelInfer', {
      model_name: modelName,
      inputs: [...texts(prompts[0]!), { name: 'sampling_parameters', datatype: 'BYTES', shape: [1], contents }],
    })
    for (const response of [byParameters, byInput]) {
      expect(output(response, 'text_output')).toEqual([choices[0]!.text])
      expect(output(response, 'finish_reason')).toEqual([choices[0]!.finish_reason])
    }
  })

  test('cancelled calls and deadlines free what they had', async () => {
    const request = { model_name: modelName, inputs: texts('Hello'), parameters: long }
    let cancel = (): void => {}
    const refused = client.refusal('ModelInfer', request, { onCall: (call) => (cancel = () => call.cancel()) })
    await untilBusy(llm)
    cancel()
    expect((await refused).code).toBe(status.CANCELLED)
    await expectIdle(llm)
    const tooLate = { ...request, parameters: { ...long, n: int(16) } }
    const late = await client.refusal('ModelInfer', tooLate, { deadline: Date.now() + 60 })
    expect(late.code).toBe(status.DEADLINE_EXCEEDED)
    await expectIdle(llm)
    const parameters = { ...long, n: int(16), timeout: { double_param: 0.02 } }
    const timedOut = await client.refusal('ModelInfer', { ...request, parameters })
    expect(timedOut).toMatchObject({ code: status.DEADLINE_EXCEEDED, details: expect.stringMatching(/timeout/) })
    await expectIdle(llm)
  })
})

describe('ModelStreamInfer', () => {
  test('deltas of several requests at once join to the whole answers', async () => {
    const request = (id: string, prompt: string) => ({
      model_name: modelName,
      id,
      inputs: texts(prompt),
      parameters: sampled,
    })
    const call = client.stream()
    for (const [i, prompt] of prompts.entries()) call.write(request(`r${i}`, prompt))
    call.end()
    const responses = await responsesOf(call)
    for (const [i, prompt] of prompts.entries()) {
      const whole = await client.ask('ModelInfer', request('', prompt))
      const own = responses.map((response) => response.infer_response).filter(({ id }) => id === `r${i}`)
      expect(own.length).toBeGreaterThan(8)
      const finals = own.map((response) => response.parameters!['triton_final_response']!.bool_param)
      expect(finals).toEqual(own.map((_, at) => at === own.length - 1))
      const joined = ['', '']
      const ends: unknown[][] = []
      const ids: number[][] = [[], []]
      for (const response of own) {
        const place = output(response, 'index')[0] as number
        joined[place]! += String(output(response, 'text_output')[0])
        ids[place]!.push(...(output(response, 'output_ids') as number[]))
        const names = ['finish_reason', 'completion_tokens', 'prompt_tokens']
        const end = names.map((name) => output(response, name)[0])
        if (end[0] !== undefined) ends[place] = end
      }
      expect(joined).toEqual(output(whole, 'text_output'))
      expect(ids.map((row) => row.length)).toEqual(output(whole, 'completion_tokens'))
      expect(ends.map(([reason]) => reason)).toEqual(output(whole, 'finish_reason'))
      expect(ends.map(([, , tokens]) => tokens)).toEqual(ends.map(() => output(whole, 'prompt_tokens')[0]))
    }
  })

  test('a fault is told of one request, and the call goes on', async () => {
    const call = client.stream()
    const good = { model_name: modelName, id: 'good', inputs: texts('Hello'), parameters: { max_tokens: int(3) } }
    call.write({ ...good, id: 'bad', parameters: { max_tokens: int(-1) } })
    call.write({ ...good, id: 'beams', parameters: { use_beam_search: { bool_param: true } } })
    call.write(good)
    const plain = { name: 'stream', datatype: 'BOOL', shape: [1], contents: { bool_contents: [false] } }
    call.write({ ...good, id: 'whole', inputs: [...good.inputs, plain] })
    call.end()
    const responses = await responsesOf(call)
    const of = (id: string) => responses.filter(({ infer_response }) => infer_response.id === id)
    expect(of('bad')).toMatchObject([
      {
        error_message: expect.stringMatching(/^max_tokens: /),
        infer_response: { parameters: { error_code: { string_param: 'INVALID_ARGUMENT' } } },
      },
    ])
    expect(of('beams')).toMatchObject([
      { error_message: expect.stringMatching(/^use_beam_search: .* call ModelInfer$/) },
    ])
    expect(of('whole').length).toBe(1)
    const joined = of('good').map(({ infer_response }) => output(infer_response, 'text_output')[0])
    expect(joined.join('')).toBe(output(of('whole')[0]!.infer_response, 'text_output')[0])
    await expectIdle(llm)
  })

  test('who cancels frees all of the call', async () => {
    const call = client.stream()
    for (const id of ['a', 'b', 'c']) call.write({ model_name: modelName, id, inputs: texts(id), parameters: long })
    await untilBusy(llm, 3)
    call.cancel()
    await expect(responsesOf(call)).rejects.toMatchObject({ code: status.CANCELLED })
    await expectIdle(llm)
  })

  test('a reader that takes nothing is dropped, and its request ends', async () => {
    const lines: unknown[] = []
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) })
    const hasty = await serve(llm, {
      port: 0,
      grpcPort: 0,
      servedModelNames: [modelName],
      slowReaderSeconds: 0.3,
      logger,
    })
    // the client of gRPC reads ahead; this one takes what its window holds, and no more
    const session = connect(`http://${hasty.grpcAddress!}`)
    const head = { ':method': 'POST', ':path': '/inference.GRPCInferenceService/ModelStreamInfer', te: 'trailers' }
    const call = session.request({ ...head, 'content-type': 'application/grpc' })
    call.on('error', () => {})
    // an id of its own makes responses large
    const parameters = { ...long, n: int(16) }
    const request = { model_name: modelName, id: 'x'.repeat(20_000), inputs: texts('Hello'), parameters }
    const { requestSerialize } = loadServices().inference['ModelStreamInfer']!
    const message = requestSerialize(request)
    const frame = Buffer.alloc(5)
    frame.writeUInt32BE(message.length, 1)
    call.write(Buffer.concat([frame, message]))
    await untilBusy(llm)
    await expectIdle(llm)
    // not by coming to its end
    const [line] = lines
    expect(line).toMatchObject({ status: 408, finishReasons: Array.from({ length: 16 }, () => 'abort') })
    session.destroy()
    await hasty.close()
  })
})

describe('what is refused', () => {
  const tensor = (over: object) => ({ model_name: modelName, inputs: [{ ...texts('a')[0], ...over }] })
  const raw = (bytes: number[], shape = [1]) => ({
    model_name: modelName,
    inputs: [{ name: 'text_input', datatype: 'BYTES', shape }],
    raw_input_contents: [Buffer.from(bytes)],
  })
  const ids = (values: number[], shape: number[], more: object[] = []) => ({
    model_name: modelName,
    inputs: [{ name: 'input_ids', datatype: 'INT64', shape, contents: { int64_contents: values } }, ...more],
  })
  const parameters = (given: object) => ({ model_name: modelName, inputs: texts('a'), parameters: given })
  const lengths = (values: number[]) => ({
    name: 'input_lengths',
    datatype: 'INT64',
    shape: [values.length],
    contents: { int64_contents: values },
  })
  const bad = status.INVALID_ARGUMENT
  test.each([
    [{}, bad, 'model_name: is required'],
    [{ model_name: 'other' }, status.NOT_FOUND, 'the model "other" does not exist'],
    [{ ...tensor({}), model_version: '9' }, status.NOT_FOUND, 'has no version "9"; it has 1'],
    [{ model_name: modelName }, bad, 'text_input: is required, or input_ids'],
    [tensor({ name: 'IN' }), bad, 'IN: there is no such input; the model takes text_input, input_ids'],
    [{ model_name: modelName, inputs: [...texts('a'), ...texts('b')] }, bad, 'text_input: is given twice'],
    [tensor({ datatype: 'FP32' }), bad, 'text_input: must have the datatype BYTES, not "FP32"'],
    [tensor({ shape: [2] }), bad, 'has 1 elements, but its shape [2] asks for 2'],
    [tensor({ shape: [-1] }), bad, 'has the size -1 in its shape'],
    [tensor({ shape: [1, 1, 1] }), bad, 'must have the shape [n] or [n, 1]'],
    [
      tensor({ contents: { int64_contents: [1] } }),
      bad,
      'has elements in int64_contents; BYTES goes in bytes_contents',
    ],
    [tensor({ contents: { bytes_contents: [Buffer.from([0xff])] } }), bad, 'text_input: is not valid UTF-8'],
    [tensor({ parameters: { shared_memory_region: text('r') } }), bad, 'parameter shared_memory_region of a tensor'],
    [{ ...tensor({ shape: [0], contents: {} }) }, bad, 'must hold at least one text'],
    [raw([9, 0, 0, 0, 65]), bad, 'its raw bytes end within element 0'],
    [raw([1, 0]), bad, 'its raw bytes end within element 0'],
    [{ ...raw([]), ...tensor({}) }, bad, 'has elements in bytes_contents; remove it, or raw_input_contents'],
    [{ ...raw([]), inputs: [] }, bad, 'raw_input_contents: has 1 entries for 0 inputs'],
    [ids([], [0]), bad, 'input_ids: must have the shape [n, tokens] or [tokens], none of them 0'],
    [ids([1, 2], [1, 2], [lengths([3])]), bad, 'input_lengths: must be from 1 to 2'],
    [ids([1, 2], [1, 2], [lengths([1, 1])]), bad, 'input_lengths: has 2 elements for 1 rows'],
    [ids([1, 2], [2], texts('a')), bad, 'input_ids: give text_input or input_ids, not both'],
    [{ model_name: modelName, inputs: [...texts('a'), lengths([1])] }, bad, 'input_lengths: needs input_ids'],
    [ids([1e9], [1]), bad, 'token id 1000000000 is outside the vocabulary'],
    [parameters({ temperature: { double_param: 9 } }), bad, 'temperature: '],
    [parameters({ temprature: { double_param: 1 } }), bad, 'temprature: there is no such parameter'],
    [parameters({ logit_bias: text('{"a": 1}') }), bad, 'logit_bias.a: must be a token id'],
    [parameters({ logprobs: int(2) }), bad, 'logprobs: has no output over gRPC'],
    [parameters({ n: {} }), bad, 'n: has no value; set one of its fields'],
    [parameters({ min_tokens: int(9), max_tokens: int(4) }), bad, 'min_tokens'],
    [parameters({ max_tokens: int(600) }), bad, 'max_tokens 600 and the prompt of'],
    [
      { ...tensor({}), outputs: [{ name: 'OUT' }] },
      bad,
      'outputs: there is no output "OUT"; the model gives text_output',
    ],
    [
      { ...tensor({}), outputs: [{ name: 'index', parameters: { classification: int(1) } }] },
      bad,
      'outputs: parameter classification of index is not supported',
    ],
    [
      {
        model_name: modelName,
        inputs: [
          ...texts('a'),
          {
            name: 'sampling_parameters',
            datatype: 'BYTES',
            shape: [1],
            contents: { bytes_contents: [Buffer.from('[')] },
          },
        ],
      },
      bad,
      'sampling_parameters: is not valid JSON',
    ],
    [tensor({ contents: { bytes_contents: [Buffer.alloc(100_001)] } }), status.RESOURCE_EXHAUSTED, 'larger than max'],
  ])('refusal %#', async (request, code, message) => {
    const error = await client.refusal('ModelInfer', request)
    expect(error.details).toContain(message)
    expect(error.code).toBe(code)
  })

  test('with the same words and codes as HTTP, in the metadata', async () => {
    const headers = { 'x-request-id': 'mine' }
    const error = await client.refusal('ModelInfer', parameters({ temperature: { double_param: 9 } }), { headers })
    const same = await http.client.completions.create({ model: modelName, prompt: 'a', temperature: 9 }).then(
      () => undefined,
      (reason: { error: { message: string; code: string } }) => reason.error,
    )
    expect(error.details).toBe(same!.message)
    expect(error.metadata.get('error-code')).toEqual([same!.code])
    expect(error.metadata.get('error-param')).toEqual(['temperature'])
    expect(error.metadata.get('x-request-id')).toEqual(['mine'])
  })
})
