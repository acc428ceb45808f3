import type OpenAI from 'openai'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { ChatCompletion, ChatCompletionChunk } from './chat.ts'
import { chatSchema } from './chat-schema.ts'
import { completionSchema } from './completion-schema.ts'
import type { Completion, CompletionChunk } from './completions.ts'
import { inApiTerms, samplingParams } from './fields.ts'
import { parseRequest } from './parse.ts'

const chat = { model: 'm', messages: [{ role: 'user', content: 'Hi' }] }
const completion = { model: 'm', prompt: 'Hi' }

function faultOf(run: () => unknown): { param: unknown; code: unknown; message: string } {
  try {
    run()
  } catch (error) {
    const { message, details } = error as Error & { details: Record<string, unknown> }
    return { param: details['param'], code: details['code'], message }
  }
  return expect.unreachable('it was accepted')
}

describe('against the types of the official client', () => {
  test('every parameter of OpenAI is decided upon', () => {
    type Given<T> = Exclude<keyof T, 'model'>
    type OfChat = OpenAI.ChatCompletionCreateParams
    type OfCompletion = OpenAI.CompletionCreateParams
    expectTypeOf<Exclude<Given<OfChat>, keyof typeof chatSchema.shape>>().toEqualTypeOf<never>()
    expectTypeOf<Exclude<Given<OfCompletion>, keyof typeof completionSchema.shape>>().toEqualTypeOf<never>()
  })

  test('answers have the types that the client declares', () => {
    expectTypeOf<ChatCompletion>().toExtend<OpenAI.ChatCompletion>()
    expectTypeOf<ChatCompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>()
    // the first token of an echoed prompt has no log-probability, which the client's type leaves out
    expectTypeOf<Omit<Completion, 'choices'>>().toExtend<Omit<OpenAI.Completion, 'choices'>>()
    type Choice<T extends { choices: unknown[] }> = Omit<T['choices'][number], 'logprobs'>
    expectTypeOf<Choice<Completion>>().toExtend<Choice<OpenAI.Completion>>()
    // a chunk's reason is null until the end, which the client's type leaves out
    expectTypeOf<Omit<CompletionChunk, 'choices' | 'usage'>>().toExtend<Omit<OpenAI.Completion, 'choices' | 'usage'>>()
  })
})

describe('chat completions', () => {
  test('null counts as absent', () => {
    const nulls = { temperature: null, stop: null, tools: null, response_format: null, logprobs: null, stream: null }
    expect(parseRequest(chatSchema, { ...chat, ...nulls })).toMatchObject({ logprobs: false, stream: false })
  })

  test('what asks for nothing is accepted', () => {
    const inert = {
      user: 'u',
      metadata: { a: 'b' },
      safety_identifier: 's',
      prompt_cache_key: 'k',
      prompt_cache_retention: '24h',
      store: false,
      service_tier: 'auto',
      tools: [],
      tool_choice: 'none',
      parallel_tool_calls: true,
      functions: [],
      function_call: 'none',
      response_format: { type: 'text' },
      modalities: ['text'],
      verbosity: 'medium',
      stream: true,
      stream_options: { include_usage: true, include_obfuscation: false, continuous_usage_stats: false },
      max_tokens: 5,
      max_completion_tokens: 5,
    }
    expect(parseRequest(chatSchema, { ...chat, ...inert })).toMatchObject({ user: 'u', max_tokens: 5 })
  })

  test.each([
    [{ audio: { voice: 'alloy', format: 'mp3' } }, 'audio'],
    [{ functions: [{ name: 'f' }] }, 'functions'],
    [{ function_call: 'auto' }, 'function_call'],
    [{ modalities: ['text', 'audio'] }, 'modalities'],
    [{ moderation: {} }, 'moderation'],
    [{ prediction: { type: 'content', content: 'x' } }, 'prediction'],
    [{ prompt_cache_options: {} }, 'prompt_cache_options'],
    [{ service_tier: 'flex' }, 'service_tier'],
    [{ store: true }, 'store'],
    [{ verbosity: 'low' }, 'verbosity'],
    [{ web_search_options: {} }, 'web_search_options'],
  ])('refuses %j', (extra, param) => {
    const fault = faultOf(() => parseRequest(chatSchema, { ...chat, ...extra }))
    expect(fault).toMatchObject({ param, code: 'unsupported_parameter' })
    // it says what to do instead
    expect(fault.message).toMatch(/^\w+: .*(remove it|use |ask )/)
  })

  test.each<[unknown, unknown, string, string]>([
    [[], null, 'invalid_type', 'the body: expected object, received array'],
    ['x', null, 'invalid_type', 'the body: expected object'],
    [{ ...chat, best: 1 }, 'best', 'unknown_parameter', 'best: there is no such parameter'],
    [{ ...chat, ['__proto__x']: 1 }, '__proto__x', 'unknown_parameter', 'no such parameter'],
    [
      JSON.parse('{"model":"m","messages":[{"role":"user","content":""}],"__proto__":{}}'),
      '__proto__',
      'unknown_parameter',
      'no such parameter',
    ],
    [{ model: 'm' }, 'messages', 'missing_required_parameter', 'messages: is required'],
    [{ messages: chat.messages }, 'model', 'missing_required_parameter', 'model: is required'],
    [{ ...chat, model: 7 }, 'model', 'invalid_type', 'model: expected string, received number'],
    [{ ...chat, messages: [] }, 'messages', 'invalid_value', 'at least one message'],
    [{ ...chat, messages: 'Hi' }, 'messages', 'invalid_type', 'expected array'],
    [{ ...chat, messages: ['Hi'] }, 'messages[0]', 'invalid_type', 'must be a message object'],
    [{ ...chat, messages: [{ role: 'user' }] }, 'messages[0].content', 'missing_required_parameter', 'is required'],
    [{ ...chat, messages: [{ content: 'x' }] }, 'messages[0].role', 'missing_required_parameter', 'is required'],
    [{ ...chat, messages: [{ role: 'robot', content: 'x' }] }, 'messages[0].role', 'invalid_value', 'must be system'],
    [
      { ...chat, messages: [{ role: 'user', content: 5 }] },
      'messages[0].content',
      'invalid_value',
      'must be a string or',
    ],
    [
      { ...chat, messages: [{ role: 'user', content: [] }] },
      'messages[0].content',
      'invalid_value',
      'at least one part',
    ],
    [
      { ...chat, messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
      'messages[0].content[0].type',
      'invalid_value',
      'this model reads text only',
    ],
    [
      { ...chat, messages: [{ role: 'user', content: [{ type: 'text' }] }] },
      'messages[0].content[0].text',
      'missing_required_parameter',
      'is required',
    ],
    [
      { ...chat, messages: [{ role: 'assistant' }] },
      'messages[0].content',
      'missing_required_parameter',
      'is required',
    ],
    [
      { ...chat, messages: [{ role: 'tool', content: 'x' }] },
      'messages[0].tool_call_id',
      'missing_required_parameter',
      'is required',
    ],
    [{ ...chat, messages: [{ role: 'user', content: 'x', x: 1 }] }, 'messages[0].x', 'unknown_parameter', 'no such'],
    [{ ...chat, temperature: 'hot' }, 'temperature', 'invalid_type', 'expected number, received string'],
    [{ ...chat, temperature: 2.1 }, 'temperature', 'invalid_value', '<=2'],
    [{ ...chat, stop: [1] }, 'stop[0]', 'invalid_type', 'expected string'],
    [{ ...chat, stop: 1 }, 'stop', 'invalid_value', 'must be a string or an array'],
    [{ ...chat, seed: 1.5 }, 'seed', 'invalid_type', 'expected int'],
    [{ ...chat, max_tokens: 0 }, 'max_tokens', 'invalid_value', '>=1'],
    [{ ...chat, max_tokens: 1, max_completion_tokens: 2 }, 'max_tokens', 'invalid_value', 'give one'],
    [{ ...chat, top_logprobs: 2 }, 'top_logprobs', 'invalid_value', 'needs "logprobs": true'],
    [{ ...chat, logprobs: true, top_logprobs: 21 }, 'top_logprobs', 'invalid_value', '<=20'],
    [{ ...chat, stream_options: {} }, 'stream_options', 'invalid_value', 'needs "stream": true'],
    [
      { ...chat, stream: true, stream_options: { include_usages: true } },
      'stream_options.include_usages',
      'unknown_parameter',
      'no such',
    ],
    [{ ...chat, logit_bias: { 5: 'x' } }, 'logit_bias.5', 'invalid_type', 'expected number'],
    [{ ...chat, chat_template_kwargs: [] }, 'chat_template_kwargs', 'invalid_type', 'expected record'],
    [{ ...chat, metadata: { a: 1 } }, 'metadata.a', 'invalid_type', 'expected string'],
  ])('refuses %j', (body, param, code, message) => {
    const fault = faultOf(() => parseRequest(chatSchema, body))
    expect(fault).toMatchObject({ param, code })
    expect(fault.message).toContain(message)
  })
})

describe('completions', () => {
  test('the four forms of a prompt', () => {
    const promptsOf = (prompt: unknown) => parseRequest(completionSchema, { ...completion, prompt }).prompt
    expect(promptsOf('a')).toEqual(['a'])
    expect(promptsOf(['a', 'b'])).toEqual(['a', 'b'])
    expect(promptsOf([1, 2])).toEqual([[1, 2]])
    expect(promptsOf([[1], [2, 3]])).toEqual([[1], [2, 3]])
  })

  test.each<[Record<string, unknown>, string, string]>([
    [{ prompt: undefined }, 'prompt', 'is required'],
    [{ prompt: [] }, 'prompt', 'must be a text, token ids, or a list'],
    [{ prompt: [[]] }, 'prompt[0]', 'must be a text or token ids'],
    [{ prompt: [1.5] }, 'prompt[0]', 'must be a text or token ids'],
    [{ prompt: {} }, 'prompt', 'must be a text, token ids, or a list'],
    [{ prompt: ['a', 1] }, 'prompt[1]', 'must be a text or token ids'],
    [{ prompt: Array.from({ length: 600 }, () => 'a'), n: 2 }, 'prompt', 'more than 1024 completions'],
    [{ suffix: 'x', echo: true }, 'suffix', 'remove echo'],
    [{ suffix: 'x', prompt: [1, 2] }, 'suffix', 'needs a prompt of text'],
    [{ best_of: 3, stream: true }, 'best_of', 'remove stream'],
    [{ prompt_logprobs: 1, stream: true }, 'prompt_logprobs', 'remove stream'],
    [{ echo: true, logprobs: 1, stream: true, n: 2 }, 'echo', 'needs n 1'],
    [{ echo: true, logprobs: 1, prompt_logprobs: 2 }, 'prompt_logprobs', 'give one of them'],
    [{ length_penalty: 2 }, 'length_penalty', 'needs "use_beam_search"'],
    [{ use_beam_search: true, stream: true }, 'stream', 'remove stream'],
    [{ use_beam_search: true, temperature: 1 }, 'temperature', 'cannot be combined'],
    [{ use_beam_search: true, early_stopping: 'x' }, 'early_stopping', 'must be true, false or "never"'],
    [{ max_tokens: 0 }, 'max_tokens', 'only with echo'],
    [{ bad_words_token_ids: ['x'] }, 'bad_words_token_ids[0]', 'must be a token id'],
    [{ logprobs: true }, 'logprobs', 'expected number'],
    [{ messages: [] }, 'messages', 'no such parameter'],
  ])('refuses %j', (extra, param, message) => {
    const fault = faultOf(() => parseRequest(completionSchema, { ...completion, ...extra }))
    expect(fault.param).toBe(param)
    expect(fault.message).toContain(message)
  })

  test('best_of that changes nothing, and an empty suffix, are accepted', () => {
    const body = parseRequest(completionSchema, { ...completion, n: 2, best_of: 2, suffix: '' })
    expect(body).toMatchObject({ n: 2, echo: false })
  })
})

test('millions of faults cost no more than one', () => {
  const started = performance.now()
  const ones = Array.from({ length: 2_000_000 }, () => 1)
  for (const body of [{ messages: ones }, { stop: ones }, { messages: [{ role: 'user', content: ones }] }])
    expect(() => parseRequest(chatSchema, { ...chat, ...body })).toThrow('[0]')
  expect(() => parseRequest(completionSchema, { ...completion, prompt: ones.map(() => null) })).toThrow('prompt[0]')
  expect(performance.now() - started).toBeLessThan(5000)
})

describe('sampling parameters', () => {
  test('go to the engine under its names', () => {
    const body = parseRequest(chatSchema, {
      ...chat,
      top_k: 5,
      min_tokens: 2,
      logit_bias: { 3: -100 },
      stop: 'x',
      n: 2,
    })
    const given = Object.fromEntries(Object.entries(samplingParams(body)).filter(([, value]) => value !== undefined))
    expect(given).toEqual({ topK: 5, minTokens: 2, logitBias: { 3: -100 }, stop: 'x', n: 2 })
  })

  test('faults come back under names of the API', () => {
    expect(inApiTerms('minTokens 5 is above maxTokens 3; lower it', 'max_tokens')).toBe(
      'min_tokens 5 is above max_tokens 3; lower it',
    )
  })
})
