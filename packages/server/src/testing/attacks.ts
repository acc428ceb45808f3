import { connect, createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import type { RunningServer } from '../serve.ts'
import { modelName } from './harness.ts'

const messages = [{ role: 'user', content: 'Hello!' }]
const chat = { model: modelName, messages, max_tokens: 8 }
const completion = { model: modelName, prompt: 'Once', max_tokens: 8 }
const chatPath = '/v1/chat/completions'
const textPath = '/v1/completions'

/** One attack: a class of facts about servers of models, and a way to try it. Resolves to the statuses that came. */
export interface Attack {
  readonly kind: string
  readonly name: string
  readonly statuses: readonly number[]
  readonly run: (server: RunningServer) => Promise<readonly number[]>
}

/** Posts bodies, a few at a time. A refusal must have the form of one. */
export function posted(path: string, ...bodies: readonly unknown[]): Attack['run'] {
  return async ({ url }) => {
    const statuses: number[] = []
    const left = bodies.values()
    const client = async (): Promise<void> => {
      for (const body of left) statuses.push(await send(url + path, body))
    }
    await Promise.all(Array.from({ length: 8 }, client))
    return statuses
  }
}

async function send(url: string, body: unknown): Promise<number> {
  const headers = { 'content-type': 'application/json' }
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const response = await fetch(url, { method: 'POST', headers, body: text })
  const answer = await response.text()
  if (response.status >= 500 || (!response.ok && !isError(answer)))
    throw new Error(`${response.status} to ${text.slice(0, 1000)}: ${answer}`)
  return response.status
}

function isError(text: string): boolean {
  const { error } = JSON.parse(text) as { error?: { message?: unknown; type?: unknown } }
  return typeof error?.message === 'string' && typeof error.type === 'string'
}

/** What no ordinary client would send: bytes as they are. */
export function raw(text: string): Attack['run'] {
  return async ({ port }) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(text)
    let answer = ''
    socket.on('data', (data: Buffer) => {
      answer += data.toString('latin1')
      socket.end()
    })
    // not `once` of node:events, which throws where the server resets a connection whose rest it does not read
    await new Promise((resolve) => socket.once('close', resolve))
    return [Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0)]
  }
}

const get = (target: string, head = ''): Attack['run'] =>
  raw(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${head}Connection: close\r\n\r\n`)

export const attack =
  (kind: string, statuses: readonly number[]) =>
  (name: string, run: Attack['run']): Attack => ({
    kind,
    name,
    statuses,
    run,
  })

const injection = attack('template injection', [200, 400])
const numbers = attack('huge or absurd numbers', [400])
const lists = attack('huge lists', [400])
const shapes = attack('bombs in JSON', [400, 413])
// a grammar of no text at all is one, and its answer is empty
const grammars = attack('hostile grammars, schemas and tools', [200, 400])
const texts = attack('text that is slow to take apart', [200, 400])
const paths = attack('path tricks', [400, 404])
const pollution = attack('prototype pollution', [200, 400])
// short heads beyond 2,000 are left away
const heads = attack('floods and fragments of heads', [200, 400, 431])

export const reach = "{{ ''.constructor.constructor('return process')().exit(1) }}"
const bias = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [String(i), 1]))
const nested = (depth: number): unknown => (depth === 0 ? 1 : { properties: { a: nested(depth - 1) }, type: 'object' })
const tool = (parameters: unknown): object => ({ type: 'function', function: { name: 'f', parameters } })

export const attacks: readonly Attack[] = [
  injection('template code in a message', posted(chatPath, { ...chat, messages: [{ role: 'user', content: reach }] })),
  injection('template code in a role', posted(chatPath, { ...chat, messages: [{ role: reach, content: 'x' }] })),
  injection('a template of its own', posted(chatPath, { ...chat, chat_template: reach })),
  injection('template code in a variable', posted(chatPath, { ...chat, chat_template_kwargs: { a: reach } })),
  injection(
    'variables that the template is built on',
    posted(chatPath, {
      ...chat,
      chat_template_kwargs: { messages: 5, tools: reach, raise_exception: 1, range: 2, namespace: 3, strftime_now: 4 },
    }),
  ),
  injection(
    'a variable that is a bomb',
    posted(chatPath, { ...chat, chat_template_kwargs: { a: 'x'.repeat(90_000) } }),
  ),

  ...Object.entries({
    n: [1e9, -1, 0, 1.5],
    max_tokens: [1e15, -1, 1e308],
    top_k: [1e300, -5],
    top_logprobs: [1e6, -1],
    min_tokens: [1e12, -1],
    seed: [1e300, 0.5],
    priority: [1e18],
    timeout: [-1, 1e300],
    presence_penalty: [1e9],
    repetition_penalty: [-1, 1e9],
  }).flatMap(([name, values]) =>
    values.map((value) => numbers(`${name} ${value}`, posted(chatPath, { ...chat, logprobs: true, [name]: value }))),
  ),
  numbers('best_of 1e9', posted(textPath, { ...completion, best_of: 1e9 })),
  numbers('numbers that JSON cannot have', posted(chatPath, '{"model":"mini","messages":[],"max_tokens":NaN}')),

  lists('a stop list of 10,000', posted(chatPath, { ...chat, stop: Array.from({ length: 10_000 }, (_, i) => `${i}`) })),
  lists('a stop text of 50,000', posted(chatPath, { ...chat, stop: 'x'.repeat(50_000) })),
  lists(
    'stop ids of 10,000',
    posted(chatPath, { ...chat, stop_token_ids: Array.from({ length: 10_000 }, (_, i) => i) }),
  ),
  lists('logit_bias beyond the vocabulary', posted(chatPath, { ...chat, logit_bias: { 999999999: 1 } })),
  lists('logit_bias of 8,000 with a bad one', posted(chatPath, { ...chat, logit_bias: { ...bias(8000), 3: 1e9 } })),
  lists('5,000 prompts', posted(textPath, { ...completion, prompt: Array.from({ length: 5000 }, () => 'a') })),
  lists('20,000 messages', posted(chatPath, { ...chat, messages: Array.from({ length: 1800 }, () => messages[0]) })),
  lists('an empty prompt', posted(textPath, { ...completion, prompt: [] })),

  shapes('15,000 brackets', posted(chatPath, '['.repeat(15_000))),
  shapes('15,000 objects', posted(chatPath, '{"a":'.repeat(15_000))),
  shapes('a body beyond its bound', posted(chatPath, { ...chat, user: 'x'.repeat(200_000) })),
  shapes('half a surrogate and a null byte in a key', posted(chatPath, '{"\\ud800\\u0000": 1}')),

  grammars('60,000 brackets in an expression', posted(textPath, { ...completion, guided_regex: '('.repeat(60_000) })),
  grammars(
    'an expression that explodes',
    posted(textPath, { ...completion, guided_regex: '((a{1,999}){1,999}){1,999}' }),
  ),
  grammars('a grammar that begins with itself', posted(textPath, { ...completion, guided_grammar: 'root ::= root' })),
  grammars('a schema 60 deep', posted(textPath, { ...completion, guided_json: nested(28) })),
  grammars('a schema of no type', posted(textPath, { ...completion, guided_json: { type: 'nonsense' } })),
  grammars('a broken pattern', posted(textPath, { ...completion, guided_json: { type: 'string', pattern: '(' } })),
  grammars('a schema that refers to itself', posted(textPath, { ...completion, guided_json: { $ref: '#' } })),
  grammars('a schema from elsewhere', posted(textPath, { ...completion, guided_json: { $ref: 'http://127.0.0.1/x' } })),
  grammars('a tool of no kind', posted(chatPath, { ...chat, tools: [{ type: 5 }] })),
  grammars(
    'a tool with an empty name',
    posted(chatPath, { ...chat, tools: [{ type: 'function', function: { name: '' } }] }),
  ),

  texts('one word of 5,000', posted(textPath, { ...completion, prompt: 'a'.repeat(5000) })),
  texts('5,000 spaces', posted(textPath, { ...completion, prompt: ' '.repeat(5000) })),
  texts('1,000 marks of special tokens', posted(textPath, { ...completion, prompt: '<|im_start|>'.repeat(1000) })),
  texts('beginnings of special tokens', posted(textPath, { ...completion, prompt: '<|im_'.repeat(1000) })),
  texts('combining marks', posted(textPath, { ...completion, prompt: `e${'\u0301'.repeat(3000)}` })),
  texts(
    'tags of tool calls in a message',
    posted(chatPath, {
      ...chat,
      messages: [{ role: 'user', content: '<tool_call>'.repeat(40) }],
      tools: [tool({ type: 'object' })],
    }),
  ),

  paths('/../../etc/passwd', get('/../../etc/passwd')),
  paths('/v1/models/../../../etc/passwd', get('/v1/models/../../../etc/passwd')),
  paths('/v1/models/..%2f..%2f..%2fetc%2fpasswd', get('/v1/models/..%2f..%2f..%2fetc%2fpasswd')),
  paths('/v1/models/%00', get('/v1/models/%00')),
  paths('/v1/models/%ff%fe', get('/v1/models/%ff%fe')),
  paths('//etc/passwd', get('//etc/passwd')),
  paths('/%2e%2e/%2e%2e/etc/passwd', get('/%2e%2e/%2e%2e/etc/passwd')),
  paths('file:///etc/passwd', get('file:///etc/passwd')),
  paths('a model named ../../etc/passwd', posted(chatPath, { ...chat, model: '../../../etc/passwd' })),

  ...['__proto__', 'constructor', 'prototype'].flatMap((key) => [
    pollution(`${key} in the body`, posted(chatPath, `{"model":"mini","messages":[],"${key}":{"polluted":1}}`)),
    pollution(
      `${key} in the template's variables`,
      posted(chatPath, `${JSON.stringify(chat).slice(0, -1)},"chat_template_kwargs":{"${key}":{"polluted":1}}}`),
    ),
    pollution(
      `${key} in logit_bias`,
      posted(chatPath, `${JSON.stringify(chat).slice(0, -1)},"logit_bias":{"${key}":1}}`),
    ),
    pollution(
      `${key} in a schema`,
      posted(
        textPath,
        `${JSON.stringify(completion).slice(0, -1)},"guided_json":{"type":"object","properties":{"${key}":{"type":"string","maxLength":2}},"required":["${key}"],"additionalProperties":false}}`,
      ),
    ),
  ]),

  heads('a head of 100 KB', get('/health', `x-flood: ${'a'.repeat(100_000)}\r\n`)),
  heads('5,000 heads', get('/health', 'x: y\r\n'.repeat(5000))),
  heads(
    'two lengths',
    raw('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}'),
  ),
  heads(
    'a length and chunks',
    raw(
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ),
  ),
  heads('a negative length', raw('POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n')),
  heads(
    'a chunk of no size',
    raw(
      'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    ),
  ),
  heads('no HTTP', raw('\x16\x03\x01\x02\x00\x01\x00\r\n\r\n')),
]

/** Content parts that name something to be fetched. `url` leads to a listener that must never be asked. */
export async function fetchAttempts(): Promise<{
  readonly bodies: readonly object[]
  readonly numAsked: () => number
  readonly close: () => void
}> {
  let numAsked = 0
  const trap = createServer((socket) => {
    numAsked++
    socket.destroy()
  }).listen(0, '127.0.0.1')
  await once(trap, 'listening')
  const { port } = trap.address() as AddressInfo
  const urls = [
    `http://127.0.0.1:${port}/x.png`,
    `http://localhost:${port}/latest/meta-data`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    `http://2130706433:${port}/`,
    'file:///etc/passwd',
    'http://169.254.169.254/latest/meta-data',
  ]
  const bodies = urls.flatMap((url) =>
    [
      { type: 'image_url', image_url: { url } },
      { type: 'video_url', video_url: { url } },
      { type: 'input_audio', input_audio: { data: url, format: 'wav' } },
      { type: 'file', file: { file_id: url } },
    ].map((part) => ({ ...chat, messages: [{ role: 'user', content: [part] }] })),
  )
  return { bodies, numAsked: () => numAsked, close: () => trap.close() }
}
