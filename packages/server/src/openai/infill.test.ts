import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LLM } from '@slipway/engine'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApp } from '../app.ts'
import type { ApiErrorBody } from '../http/errors.ts'
import { eventsOf, expectIdle, modelName, post } from '../testing/harness.ts'
import type { Completion, CompletionChunk } from './completions.ts'

// The embedded model with the tokens of Qwen2.5-Coder at ids that are free in it. It has not learnt what they mean, so
// what it says between two texts is of no use, but it is what it says to the same prompt written out.

const tokens = { '<|fim_prefix|>': 4050, '<|fim_middle|>': 4051, '<|fim_suffix|>': 4052, '<|file_sep|>': 4053 }

let directory: string
let llm: LLM
let plain: LLM
let app: ReturnType<typeof createApp>
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'slipway-infill-'))
  await cp(miniModelDirectory, directory, { recursive: true })
  const file = join(directory, 'tokenizer.json')
  const json = JSON.parse(await readFile(file, 'utf8')) as { added_tokens: object[] }
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }
  json.added_tokens.push(...Object.entries(tokens).map(([content, id]) => ({ id, content, ...flags })))
  await writeFile(file, JSON.stringify(json))
  const options = { maxModelLen: 256, packedCache: false }
  ;[llm, plain] = await Promise.all([LLM.load(directory, options), LLM.load(miniModelDirectory, options)])
  app = createApp(llm, { servedModelNames: [modelName] })
})
afterAll(async () => {
  await Promise.all([llm.close(), plain.close()])
  await rm(directory, { recursive: true })
})

const prefix = 'The sum of 347 and 285 is '
const suffix = ', which is even.'
const base = { model: modelName, prompt: prefix, suffix, max_tokens: 12, temperature: 1, seed: 3 }
const writtenOut = (before: string): string => `<|fim_prefix|>${before}<|fim_suffix|>${suffix}<|fim_middle|>`

async function complete(body: object): Promise<Completion> {
  const response = await post(app, '/v1/completions', body)
  expect(response.status, await response.clone().text()).toBe(200)
  return (await response.json()) as Completion
}
const texts = ({ choices }: Completion): string[] => choices.map(({ text }) => text)

test('a suffix is the prompt written out', async () => {
  const { suffix: _, ...rest } = base
  const asked = await complete({ ...base, n: 2 })
  const same = await complete({ ...rest, n: 2, prompt: writtenOut(prefix) })
  expect(texts(asked)).toEqual(texts(same))
  expect(asked.usage.prompt_tokens).toBe(same.usage.prompt_tokens)
  // an empty one asks for nothing
  expect(texts(await complete({ ...base, suffix: '' }))).toEqual(texts(await complete(rest)))
})

test('of several prompts, one empty; streamed', async () => {
  const many = { ...base, prompt: [prefix, ''] }
  const whole = texts(await complete(many))
  expect(whole).toEqual([...texts(await complete(base)), ...texts(await complete({ ...base, prompt: '' }))])
  const events = eventsOf(await (await post(app, '/v1/completions', { ...many, stream: true })).text())
  const streamed = ['', '']
  for (const { choices } of events.slice(0, -1) as CompletionChunk[])
    for (const { index, text } of choices) streamed[index] += text
  expect(streamed).toEqual(whole)
})

test('what comes between files ends an answer in the middle, and only there', async () => {
  const { suffix: _, ...rest } = base
  const biased = { logit_bias: { [tokens['<|file_sep|>']]: 100 }, temperature: 0 }
  const ended = await complete({ ...base, ...biased })
  expect(ended.choices).toMatchObject([{ text: '', finish_reason: 'stop' }])
  const plainly = { text: '<|file_sep|>'.repeat(12), finish_reason: 'length' }
  expect((await complete({ ...rest, ...biased })).choices).toMatchObject([plainly])
  expect((await complete({ ...base, ...biased, ignore_eos: true })).choices).toMatchObject([plainly])
})

test('offline', async () => {
  const params = { temperature: 1, seed: 3, maxTokens: 12 }
  const prompts = [{ prefix, suffix }, 'One', { prefix: '', suffix }]
  const outputs = await llm.generate(prompts, params)
  const encode = (text: string): readonly number[] => llm.tokenizer.encode(text)
  expect(outputs.map(({ promptTokenIds }) => promptTokenIds)).toEqual(
    [writtenOut(prefix), 'One', writtenOut('')].map(encode),
  )
  expect(outputs[0]!.outputs[0]!.text).toBe(texts(await complete(base))[0])
  expect(await llm.generate(prompts[0]!, params)).toMatchObject({ promptTokenIds: outputs[0]!.promptTokenIds })
  const [beam] = await llm.beamSearch([{ prefix, suffix }], { beamWidth: 2, maxTokens: 2 })
  expect(beam!.promptTokenIds).toEqual(outputs[0]!.promptTokenIds)
  const bad = { prefix: [1, 2], suffix } as unknown as { prefix: string; suffix: string }
  await expect(async () => llm.generate(bad, params)).rejects.toThrow('prefix and suffix must be texts')
  await expectIdle(llm)
})

test('a model without the tokens says so', async () => {
  const other = createApp(plain, { servedModelNames: [modelName] })
  const refused = async (body: object, to = other): Promise<object> => {
    const response = await post(to, '/v1/completions', body)
    return { status: response.status, ...((await response.json()) as ApiErrorBody).error }
  }
  expect(await refused(base)).toMatchObject({
    status: 400,
    param: 'suffix',
    code: 'unsupported_parameter',
    message: expect.stringMatching(/no tokens for filling in .* remove suffix/) as unknown,
  })
  expect(await refused({ ...base, suffix: 'x'.repeat(90_000) }, app)).toMatchObject({
    status: 400,
    param: 'suffix',
    code: 'context_length_exceeded',
  })
})
