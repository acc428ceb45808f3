import { miniModelDirectory } from '@slipway/mini'
import { cpuAvailable } from '@slipway/tensor'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LLM, type RequestOutput } from './index.ts'
import { SchemaMaker } from './testing/schemas.ts'

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)

let llm: LLM
beforeAll(async () => {
  llm = await LLM.load(miniModelDirectory, { maxModelLen: 2048 })
})
afterAll(() => llm.close())

function expectFit(schema: object, text: string): void {
  const isValid = ajv.validate(schema, JSON.parse(text))
  expect(isValid, `${text}\n${JSON.stringify(schema)}\n${ajv.errorsText()}`).toBe(true)
}

// without native kernels a token takes a hundred times as long
const numSchemas = cpuAvailable().available ? 300 : 10

test(`${numSchemas} random schemas: each has a valid answer, whole and streamed, and none that ends is not`, async () => {
  const schemas = Array.from({ length: numSchemas }, (_, seed) => new SchemaMaker(seed + 1).make())
  /** Answers that were needed: where a string may be long, or white space, a small model may not find the end in good time. */
  const counts: number[] = []
  const answer = async (i: number, isFirst: boolean, seed: number): Promise<RequestOutput['outputs'][number]> => {
    const params = {
      // a hot model does not repeat itself
      temperature: isFirst ? 1 : 3,
      seed,
      maxTokens: isFirst ? 400 : 1500,
      structuredOutputs: { json: schemas[i]!, disableAnyWhitespace: !isFirst || i % 4 === 0 },
    }
    const prompt = 'Give me the data as JSON.'
    // a machine that others use as well may need more than its time for the largest; what was slow is tried again
    const tries = Array.from({ length: 3 }, () => () => llm.prepare(params))
    await tries.reduce((before, again) => before.catch(again), llm.prepare(params))
    const { outputs } = await llm.generate(prompt, params)
    let streamed = ''
    for await (const event of llm.generate(prompt, params, { stream: true }))
      if (event.type === 'delta') streamed += event.text
    expect(streamed).toBe(outputs[0]!.text)
    return outputs[0]!
  }
  let next = 0
  const work = async (): Promise<void> => {
    while (next < schemas.length) {
      const i = next++
      for (counts[i] = 1; counts[i]! <= 8; counts[i]!++) {
        const { text, finishReason } = await answer(i, counts[i] === 1, i + 1000 * (counts[i]! - 1))
        if (finishReason !== 'stop') continue
        expectFit(schemas[i]!, text)
        break
      }
    }
  }
  await Promise.all(Array.from({ length: 16 }, work))
  const numFirst = counts.filter((count) => count === 1).length
  console.log(`${numFirst} of ${numSchemas} ended within 400 tokens at once, all within ${Math.max(...counts)} answers`)
  expect(Math.max(...counts)).toBeLessThanOrEqual(8)
  expect(numFirst).toBeGreaterThan(numSchemas === 300 ? 280 : 6)
  expect((await llm.stats()).ownedBlocks).toBe(0)
}, 300_000)

// without kernels the model leaves the compiler of grammars no time
test.skipIf(!cpuAvailable().available)(
  `${numSchemas / 5} random schemas as those of tools that have to be called, strict or not`,
  async () => {
    const forms = ['auto', 'glm-4.5', 'qwen3-coder', 'llama3-json']
    const call = async (i: number): Promise<string> => {
      const schema = new SchemaMaker(i + 1000).make()
      const options = {
        tools: [{ function: { name: 'take', parameters: schema, strict: i % 2 === 0 } }],
        toolChoice: 'required',
        toolCallParser: forms[i % forms.length],
        parallelToolCalls: false,
        enableThinking: false,
      } as const
      const params = { temperature: 1, seed: i, maxTokens: 300 }
      const messages = [{ role: 'user', content: 'Take it.' }]
      const plan = llm.planChat(messages, options, params)
      const refused = await llm.prepare(plan.params).catch(async (error: unknown) => {
        if (String(error).includes(' s to prepare')) return llm.prepare(plan.params)
        return String(error)
      })
      // a form may have no room for a schema, which a strict tool has to say
      if (refused !== undefined) {
        expect(refused).toContain('the arguments of the tool take')
        expect([1, 2]).toContain(i % forms.length)
        expect(i % 2).toBe(0)
        return 'refused'
      }
      const { outputs } = await llm.chat(messages, params, options)
      const { message, finishReason } = outputs[0]!
      if (finishReason !== 'stop') return finishReason
      expect(message.content).toBe('')
      expect(message.toolCalls).toMatchObject([{ name: 'take' }])
      const args = message.toolCalls[0]!.arguments
      if (i % 2 === 0) expectFit(schema, args)
      else expect(JSON.parse(args)).toBeTypeOf('object')
      return finishReason
    }
    const reasons = await Promise.all(Array.from({ length: numSchemas / 5 }, (_, i) => call(i)))
    const count = (reason: string): number => reasons.filter((one) => one === reason).length
    console.log(`${count('stop')} of ${reasons.length} ended, ${count('refused')} refused`)
    expect(count('stop')).toBeGreaterThan(reasons.length / 2)
    expect((await llm.stats()).ownedBlocks).toBe(0)
  },
  300_000,
)

describe('forms', () => {
  const text = async (structuredOutputs: object, more: object = {}): Promise<string[]> => {
    const params = { temperature: 1, seed: 5, maxTokens: 60, structuredOutputs, ...more }
    const { outputs } = await llm.generate('Say something.', params)
    expect(outputs.map(({ finishReason }) => finishReason)).toEqual(outputs.map(() => 'stop'))
    return outputs.map((output) => output.text)
  }

  test('regex, choice, grammar', async () => {
    expect((await text({ regex: '[A-Z][a-z]{2,8} is \\d+' }))[0]).toMatch(/^[A-Z][a-z]{2,8} is \d+$/)
    expect(['north', 'south "pole"', 'über']).toContain((await text({ choice: ['north', 'south "pole"', 'über'] }))[0])
    expect((await text({ grammar: 'root ::= "<" [a-f]{3} ">" | "(" root ")"' }))[0]).toMatch(/^\(*<[a-f]{3}>\)*$/)
  })

  test('n completions follow the grammar each for itself, also greedily', async () => {
    const regex = '[a-z]{4,8}( [a-z]{4,8}){2}'
    const several = await text({ regex }, { n: 4, temperature: 1.5 })
    for (const one of several) expect(one).toMatch(new RegExp(`^${regex}$`))
    expect(new Set(several).size).toBeGreaterThan(1)
    expect(await text({ regex }, { temperature: 0 })).toEqual(await text({ regex }, { temperature: 0, n: 1 }))
  })

  test('with a bias, penalties, a stop string and a minimum of tokens', async () => {
    const ids = llm.tokenizer.encode('x', { addSpecialTokens: false })
    const many = { logitBias: { [ids[0]!]: 100 }, minTokens: 4 }
    expect((await text({ regex: '[xyz]{9,}' }, { ...many, maxTokens: 20, stop: 'xxxx' }))[0]).toBe('xxxx')
    expect((await text({ regex: '[xyz]{3}' }, { ...many, repetitionPenalty: 1.5 }))[0]).toBe('xxx')
    // the text has to end before the minimum is reached: the grammar wins
    expect((await text({ choice: ['a'] }, { minTokens: 30, ignoreEos: true }))[0]).toBe('a')
  })

  test('a stop token that is text ends where the grammar allows it, and wins over the minimum if nothing else may come', async () => {
    const [y] = llm.tokenizer.encode('y', { addSpecialTokens: false })
    const params = { stopTokenIds: [y!], minTokens: 30, includeStopStrInOutput: true }
    expect((await text({ grammar: 'root ::= "x" "y" "z"' }, params))[0]).toBe('xy')
  })

  test('begins after a text, or after tokens', async () => {
    const messages = [{ role: 'user', content: 'What is 347 + 285?' }]
    const json = {
      type: 'object',
      properties: { sum: { type: 'integer' } },
      required: ['sum'],
      additionalProperties: false,
    }
    const close = llm.tokenizer.tokenToId('</think>')!
    for (const after of ['</think>', [close]]) {
      const params = { temperature: 0, maxTokens: 200, structuredOutputs: { json, after } }
      const { outputs } = await llm.chat(messages, params)
      const [thought, answer] = outputs[0]!.text.split('</think>')
      expect(thought).toContain('347+285')
      expectFit(json, answer!)
    }
  })

  test('free text with a constrained tag', async () => {
    const structuralTag = {
      type: 'triggered_tags',
      triggers: ['<n>'],
      tags: [{ begin: '<n>', content: { type: 'json_schema', json_schema: { type: 'integer' } }, end: '</n>' }],
      at_least_one: true,
      stop_after_first: true,
    }
    expect((await text({ structuralTag }))[0]).toMatch(/^<n>-?\d+<\/n>$/)
  })
})

test.each<[object, string]>([
  [{ json: {}, regex: 'a' }, 'json and regex cannot be combined'],
  [{}, 'names no constraint'],
  [{ regex: '(?=a)' }, 'looks ahead'],
  [{ json: { type: 'array', uniqueItems: true } }, 'uniqueItems'],
  [{ grammar: 'root ::= other' }, 'Rule "other" is not defined'],
  [{ choice: [] }, 'choice'],
  [{ unknown: 1 }, 'unknown'],
])('refuses %j', async (structuredOutputs, message) => {
  const asked = async (): Promise<unknown> => llm.generate('x', { structuredOutputs } as never)
  await expect(asked()).rejects.toThrow(message)
  await expect(asked()).rejects.toMatchObject({ kind: 'request' })
})
