import { maxJsonDepth } from '../http/json-text.ts'
import { modelName } from './harness.ts'

const messages = [{ role: 'user', content: 'Hello!' }]
const chat = { model: modelName, messages, max_tokens: 8, seed: 1, temperature: 1 }
export const completion = { model: modelName, prompt: 'Once upon a time', max_tokens: 8, seed: 1, temperature: 1 }
export const maxBodyBytes = 100_000

/** A request that must fail, and how. By default a POST to the chat route. */
interface ErrorRow {
  readonly name: string
  readonly status: number
  readonly message: string
  readonly code?: string | null
  readonly param?: string | null
  readonly path?: string
  readonly body?: unknown
  readonly init?: RequestInit
  readonly headers?: Record<string, string>
}

export const chatPath = '/v1/chat/completions'
export const textPath = '/v1/completions'
const text = (type: string): RequestInit => ({ headers: { 'content-type': type } })

export const badInput: ErrorRow[] = [
  // what is not JSON
  { name: 'nothing at all', body: '', status: 400, message: 'it ends at position 0', code: 'invalid_json' },
  {
    name: 'malformed JSON',
    body: '{"model": x}',
    status: 400,
    message: 'unexpected "x" at position 10 (line 1, column 11)',
  },
  { name: 'JSON that is cut off', body: '{"model": "mini"', status: 400, message: 'it ends at position 16' },
  { name: 'a nesting bomb', body: '['.repeat(15_000), status: 400, message: `deeper than ${maxJsonDepth} levels` },
  {
    name: 'a deep value',
    body: { ...chat, chat_template_kwargs: deep(70) },
    status: 400,
    message: 'levels at position',
  },
  { name: 'an array', body: [chat], status: 400, message: 'the body: expected object', code: 'invalid_type' },
  { name: 'null', body: 'null', status: 400, message: 'the body: expected object' },
  {
    name: 'a long body',
    body: { ...chat, user: 'x'.repeat(maxBodyBytes) },
    status: 413,
    message: 'longer than 100000 bytes',
  },
  {
    name: 'plain text, as a page may post it',
    body: chat,
    init: text('text/plain'),
    status: 415,
    message: 'application/json',
  },
  {
    name: 'a form',
    body: chat,
    init: text('application/x-www-form-urlencoded'),
    status: 415,
    message: 'application/json',
  },
  { name: 'no content type', body: chat, init: { headers: {} }, status: 415, message: 'send application/json' },
  // routes
  {
    name: 'unknown route',
    path: '/v1/moderations',
    body: {},
    status: 404,
    message: 'no route /v1/moderations',
    code: 'unknown_url',
  },
  {
    name: 'a path trick',
    path: '/v1/../../etc/passwd',
    body: {},
    status: 404,
    message: 'there is no route /etc/passwd',
  },
  {
    name: 'an encoded path trick',
    path: '/v1/models/..%2f..%2fetc',
    init: { method: 'GET' },
    status: 404,
    message: '"../../etc" does not exist',
  },
  {
    name: 'GET of a chat',
    init: { method: 'GET' },
    status: 405,
    message: 'takes POST, not GET',
    headers: { allow: 'POST' },
  },
  {
    name: 'POST of the models',
    path: '/v1/models',
    body: {},
    status: 405,
    message: 'takes GET, HEAD, not POST',
    headers: { allow: 'GET, HEAD' },
  },
  {
    name: 'DELETE of a model',
    path: '/v1/models/mini',
    init: { method: 'DELETE' },
    status: 405,
    message: 'not DELETE',
  },
  {
    name: 'unknown model in a path',
    path: '/v1/models/gpt',
    init: { method: 'GET' },
    status: 404,
    message: '"gpt" does not exist',
    code: 'model_not_found',
  },
  // the model
  {
    name: 'unknown model',
    body: { ...chat, model: 'gpt-5' },
    status: 404,
    message: 'this server has mini, org/alias',
    code: 'model_not_found',
    param: 'model',
  },
  { name: 'no model', body: { messages }, status: 400, message: 'model: is required', param: 'model' },
  {
    name: 'a model that is a path',
    body: { ...chat, model: '/etc/passwd' },
    status: 404,
    message: '"/etc/passwd" does not exist',
  },
  // messages
  { name: 'no messages', body: { model: modelName }, status: 400, message: 'messages: is required', param: 'messages' },
  {
    name: 'empty messages',
    body: { ...chat, messages: [] },
    status: 400,
    message: 'at least one message',
    param: 'messages',
  },
  {
    name: 'unknown role',
    body: { ...chat, messages: [{ role: 'x', content: '' }] },
    status: 400,
    message: 'must be system',
    param: 'messages[0].role',
  },
  {
    name: 'an image',
    body: {
      ...chat,
      messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'file:///etc/passwd' } }] }],
    },
    status: 400,
    message: 'reads text only',
    param: 'messages[0].content[0].type',
  },
  {
    name: 'a reserved template variable',
    body: { ...chat, chat_template_kwargs: { messages: [] } },
    status: 400,
    message: 'reserved',
    param: 'chat_template_kwargs.messages',
  },
  {
    name: 'a long conversation',
    body: { ...chat, messages: [{ role: 'user', content: 'word '.repeat(1500) }] },
    status: 400,
    message: 'the model takes 512',
    code: 'context_length_exceeded',
    param: 'messages',
  },
  {
    name: 'text beyond all tokens',
    body: { ...chat, messages: [{ role: 'user', content: 'a'.repeat(90_000) }] },
    status: 400,
    message: 'characters are too long for the 512 tokens',
    code: 'context_length_exceeded',
    param: 'messages',
  },
  {
    name: 'more messages than tokens',
    body: { ...chat, messages: Array.from({ length: 513 }, () => ({ role: 'user', content: '' })) },
    status: 400,
    message: '513 messages and',
    param: 'messages',
  },
  // parameters
  {
    name: 'unknown parameter',
    body: { ...chat, max_token: 3 },
    status: 400,
    message: 'max_token: there is no such parameter',
    code: 'unknown_parameter',
    param: 'max_token',
  },
  {
    name: 'a prototype',
    body: `{"__proto__": {"x": 1}, ${JSON.stringify(chat).slice(1)}`,
    status: 400,
    message: '__proto__: there is no such parameter',
  },
  {
    name: 'a tool that is none',
    body: { ...chat, tools: [{ type: 'function', function: {} }] },
    status: 400,
    message: 'tools[0].function.name: is required',
    param: 'tools[0].function.name',
  },
  {
    name: 'a forced call without tools',
    body: { ...chat, tool_choice: 'required' },
    status: 400,
    message: 'there are no tools to choose from',
  },
  {
    name: 'huge max_tokens',
    body: { ...chat, max_tokens: 10 ** 9 },
    status: 400,
    message: 'max_tokens 1000000000 and the prompt of',
    code: 'context_length_exceeded',
    param: 'max_tokens',
  },
  {
    name: 'huge max_completion_tokens',
    body: { model: modelName, messages, max_completion_tokens: 600 },
    status: 400,
    message: 'more than the 512 tokens of this model',
    param: 'max_completion_tokens',
  },
  {
    name: 'max_tokens beyond numbers',
    body: `{"max_tokens": 1e999, ${JSON.stringify({ model: modelName, messages }).slice(1)}`,
    status: 400,
    message: 'max_tokens: expected',
    param: 'max_tokens',
  },
  { name: 'negative max_tokens', body: { ...chat, max_tokens: -1 }, status: 400, message: '>=1', param: 'max_tokens' },
  {
    name: 'temperature as text',
    body: { ...chat, temperature: '1' },
    status: 400,
    message: 'expected number, received string',
    param: 'temperature',
  },
  { name: 'high temperature', body: { ...chat, temperature: 3 }, status: 400, message: '<=2', param: 'temperature' },
  { name: 'top_p above 1', body: { ...chat, top_p: 1.5 }, status: 400, message: 'top_p: ', param: 'top_p' },
  { name: 'top_k below -1', body: { ...chat, top_k: -2 }, status: 400, message: 'top_k: ', param: 'top_k' },
  {
    name: 'repetition_penalty 0',
    body: { ...chat, repetition_penalty: 0 },
    status: 400,
    message: 'repetition_penalty: ',
    param: 'repetition_penalty',
  },
  {
    name: 'presence_penalty 5',
    body: { ...chat, presence_penalty: 5 },
    status: 400,
    message: 'presence_penalty: ',
    param: 'presence_penalty',
  },
  { name: 'n of 0', body: { ...chat, n: 0 }, status: 400, message: 'n: ', param: 'n' },
  { name: 'n of a million', body: { ...chat, n: 1e6 }, status: 400, message: 'n: ', param: 'n' },
  { name: 'seed with a fraction', body: { ...chat, seed: 0.5 }, status: 400, message: 'expected int', param: 'seed' },
  { name: 'an empty stop string', body: { ...chat, stop: '' }, status: 400, message: 'stop: ', param: 'stop' },
  {
    name: 'min_tokens above max_tokens',
    body: { ...chat, min_tokens: 9 },
    status: 400,
    message: 'min_tokens 9 is above max_tokens 8',
    param: 'min_tokens',
  },
  {
    name: 'stop id outside',
    body: { ...chat, stop_token_ids: [10 ** 8] },
    status: 400,
    message: 'outside the vocabulary',
    param: 'stop_token_ids',
  },
  {
    name: 'bias of no token',
    body: { ...chat, logit_bias: { x: 1 } },
    status: 400,
    message: 'must be a token id',
    param: 'logit_bias.x',
  },
  {
    name: 'bias outside',
    body: { ...chat, logit_bias: { 99999999: 1 } },
    status: 400,
    message: 'outside the vocabulary',
    param: 'logit_bias',
  },
  {
    name: 'top_logprobs alone',
    body: { ...chat, top_logprobs: 2 },
    status: 400,
    message: 'needs "logprobs": true',
    param: 'top_logprobs',
  },
  {
    name: 'bad parameters of a stream',
    body: { ...chat, stream: true, n: 0 },
    status: 400,
    message: 'n: ',
    param: 'n',
  },
  // completions
  {
    name: 'empty prompt',
    path: textPath,
    body: { ...completion, prompt: [''] },
    status: 400,
    message: 'the prompt is empty',
  },
  {
    name: 'prompt with a token outside',
    path: textPath,
    body: { ...completion, prompt: [1, 10 ** 8] },
    status: 400,
    message: 'outside the vocabulary',
    param: 'prompt',
  },
  {
    name: 'prompt beyond all tokens',
    path: textPath,
    body: { ...completion, prompt: 'a'.repeat(90_000) },
    status: 400,
    message: '90000 characters',
    param: 'prompt',
  },
  {
    name: 'second prompt bad',
    path: textPath,
    body: { ...completion, prompt: ['a', ''] },
    status: 400,
    message: 'the prompt is empty',
  },
  {
    name: 'prompt as an object',
    path: textPath,
    body: { ...completion, prompt: {} },
    status: 400,
    message: 'prompt: must be a text',
    param: 'prompt',
  },
  {
    name: 'echo with logprobs of several in a stream',
    path: textPath,
    body: { ...completion, echo: true, logprobs: 1, stream: true, n: 2 },
    status: 400,
    message: 'needs n 1',
    param: 'echo',
  },
]

function deep(levels: number): unknown {
  return levels === 0 ? 1 : { a: deep(levels - 1) }
}
