import { modelName } from './harness.ts'
import { attack, posted, reach, raw, type Attack } from './attacks.ts'

// The same attacks on every route: one row for a route says what a good request is, and where its texts and lists are.

interface Surface {
  readonly path: string
  /** A request with everything that can be nested, for whoever puts something else in its place. */
  readonly body: object
  /** The same with that text in it. */
  readonly text?: (text: unknown) => object
  /** The same with a list of so many. */
  readonly list?: (count: number) => object
}

const model = modelName
const many = <T>(count: number, item: T): T[] => Array.from({ length: count }, () => item)
const parameters = { type: 'object', properties: { a: { type: 'string', maxLength: 2 } }, required: ['a'] }

const ofMessages = (content: unknown): object => ({ model, max_tokens: 1, messages: [{ role: 'user', content }] })
const turns = [
  { role: 'user', content: [{ type: 'text', text: 'Hello!', cache_control: { type: 'ephemeral' } }] },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'So.', signature: '' },
      { type: 'tool_use', id: 'a', name: 'f', input: { a: 'x' } },
    ],
  },
  { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'a', content: 'x', is_error: false }] },
]
const asked = { model, messages: turns, system: 'Be brief.', tools: [{ name: 'f', input_schema: parameters }] }
const items = [
  { type: 'message', role: 'user', content: [{ type: 'input_text', text: 'Hello!' }] },
  { type: 'reasoning', id: 'r', summary: [], content: [{ type: 'reasoning_text', text: 'So.' }] },
  { type: 'function_call', call_id: 'a', name: 'f', arguments: '{"a":"x"}' },
  { type: 'function_call_output', call_id: 'a', output: 'x' },
]

/** Routes of a model that generates. */
export const generating: readonly Surface[] = [
  {
    path: '/v1/responses',
    body: {
      model,
      input: items,
      instructions: 'Be brief.',
      max_output_tokens: 1,
      tools: [{ type: 'function', name: 'f', parameters }],
      tool_choice: { type: 'allowed_tools', mode: 'auto', tools: [{ type: 'function', name: 'f' }] },
      reasoning: { effort: 'none' },
      text: { format: { type: 'text' } },
      metadata: { a: 'b' },
      top_p: 0.5,
    },
    text: (input) => ({ model, input, max_output_tokens: 1 }),
    list: (count) => ({ model, input: many(count, items[0]), max_output_tokens: 1 }),
  },
  {
    path: '/v1/messages',
    body: {
      ...asked,
      max_tokens: 1,
      tool_choice: { type: 'auto', disable_parallel_tool_use: true },
      thinking: { type: 'disabled' },
      metadata: { user_id: 'a' },
      stop_sequences: ['x'],
    },
    text: ofMessages,
    list: (count) => ({ model, max_tokens: 1, messages: many(count, turns[0]) }),
  },
  {
    path: '/v1/messages/count_tokens',
    body: asked,
    text: (text) => ({ model, messages: [{ role: 'user', content: text }] }),
  },
  {
    path: '/tokenize',
    body: {
      model,
      messages: [{ role: 'user', content: [{ type: 'text', text: 'Hello!' }] }],
      tools: [{ type: 'function', function: { name: 'f', parameters } }],
      add_generation_prompt: true,
      chat_template_kwargs: { enable_thinking: true },
      return_token_strs: true,
    },
    text: (prompt) => ({ prompt }),
    list: (count) => ({ messages: many(count, { role: 'user', content: 'a' }) }),
  },
  { path: '/detokenize', body: { model, tokens: [1, 2] }, list: (count) => ({ tokens: many(count, 1) }) },
]

/** Routes of a model that embeds. */
export const embedding: readonly Surface[] = [
  ...['/v1/embeddings', '/pooling'].map((path) => ({
    path,
    body: { model, input: ['a', 'b'], truncate_prompt_tokens: 4, truncation_side: 'left', encoding_format: 'float' },
    text: (input: unknown) => ({ model, input }),
    list: (count: number) => ({ model, input: many(count, 'a') }),
  })),
  {
    path: '/v1/score',
    body: { model, text_1: 'a', text_2: ['b', 'c'] },
    text: (text) => ({ model, text_1: 'a', text_2: text }),
    list: (count) => ({ model, text_1: many(count, 'a'), text_2: many(count - 1, 'a') }),
  },
  {
    path: '/v2/rerank',
    body: { model, query: 'a', documents: ['b', { text: 'c' }], top_n: 1, return_documents: true },
    text: (query) => ({ model, query, documents: ['a'] }),
  },
  { path: '/v1/classify', body: { model, input: ['a'], use_activation: true }, text: (input) => ({ model, input }) },
]

const wrong = [null, true, -1, 0.5, 1e308, '', '\u0000', reach, [], [null], [[]], {}, { a: {} }]

/** The value with each of its places taken by one of the wrong ones, by the next at every place. */
function* spoilt(value: unknown, turn = { next: 0 }): Generator<unknown> {
  yield wrong[turn.next++ % wrong.length]
  if (typeof value !== 'object' || value === null) return
  for (const [key, part] of Object.entries(value))
    for (const other of spoilt(part, turn))
      yield Array.isArray(value) ? value.with(Number(key), other) : { ...value, [key]: other }
}

const deep = (depth: number): string => `${'['.repeat(depth)}1${']'.repeat(depth)}`
/** JSON with an entry before its others. */
const led = (entry: string, body: object): string => `{${entry},${JSON.stringify(body).slice(1)}`

const refusals = [400, 404, 413]
const types = attack('anything in any place', [200, ...refusals])
const bombs = attack('bombs in JSON', refusals)
// what embeds takes all that fits into a body
const lists = attack('huge lists', [200, ...refusals])
const texts = attack('text that is slow to take apart', [200, 400])
const pollution = attack('prototype pollution', [400])
const paths = attack('path tricks', [400, 404, 405, 415])

/** Every kind on every route that has a place for it. */
export function attacksOn(surfaces: readonly Surface[]): Attack[] {
  return surfaces.flatMap(({ path, body, text, list }) => [
    types(path, posted(path, ...spoilt(body))),
    bombs(
      path,
      posted(
        path,
        '['.repeat(15_000),
        '{"a":'.repeat(15_000),
        '"',
        '',
        'null',
        '{"\\ud800\\u0000": 1}',
        led(`"user":"${'x'.repeat(200_000)}"`, body),
        ...Object.keys(body).map((key) => led(`"${key}":${deep(5000)}`, {})),
        JSON.stringify(Object.fromEntries(Array.from({ length: 8000 }, (_, i) => [`k${i}`, i]))),
      ),
    ),
    ...(list ? [lists(path, posted(path, list(1800)))] : []),
    ...(text
      ? [
          texts(
            path,
            posted(
              path,
              ...['a'.repeat(5000), ' '.repeat(5000), '<|im_start|>'.repeat(1000), '<|im_'.repeat(1000)].map(text),
              ...[`e${'\u0301'.repeat(3000)}`, 'a'.repeat(90_000), '\ud800', reach].map(text),
            ),
          ),
        ]
      : []),
    pollution(
      path,
      posted(path, ...['__proto__', 'constructor', 'prototype'].map((key) => led(`"${key}":{"polluted":1}`, body))),
    ),
    paths(path, async (server) => {
      const targets = [`${path}/`, `${path}/..%2f..%2fetc%2fpasswd`, `${path}/%00`, path.toUpperCase(), `/${path}`]
      const heads = [...targets.map((target) => `POST ${target}`), `GET ${path}`, `DELETE ${path}`, `POST ${path}`]
      const statuses = heads.map((head) =>
        raw(`${head} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}`)(server),
      )
      return (await Promise.all(statuses)).flat()
    }),
  ])
}
