import type { ParsedOutput, ToolSchema } from '../deltas.ts'
import type { OutputParserOptions } from '../output-parser.ts'

/** An output as a model of that format writes it, and what it means. */
export interface Sample {
  readonly name: string
  readonly options: OutputParserOptions
  readonly text: string
  readonly reasoning?: string
  readonly content?: string
  /** Names and arguments as values. */
  readonly calls?: readonly (readonly [name: string, args: unknown])[]
}

export const weather: ToolSchema = {
  function: {
    name: 'get_weather',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        metric: { type: 'boolean' },
        place: { type: 'object' },
        tags: { type: 'array' },
        note: { anyOf: [{ type: 'string' }, { type: 'null' }] },
        ratio: { $ref: '#/$defs/ratio' },
      },
      $defs: { ratio: { type: 'number' } },
    },
  },
}
export const noArguments: ToolSchema = { function: { name: 'now' } }
export const toolSchemas = [weather, noArguments]

/** Answers of every format; the ids of calls count up. */
export function parserOptions(options: OutputParserOptions): OutputParserOptions {
  let calls = 0
  return { toolSchemas, newToolCallId: () => `id${calls++}`, ...options }
}

const json = (name: string, args: unknown, key = 'arguments'): string => JSON.stringify({ name, [key]: args })
const paris = { city: 'Paris', days: 3 }
/** Text that looks like markup, inside a value. */
const tricky = {
  city: 'say "</tool_call>" \\ <tool_call> {[;]} </think>\n\t東京 \u{1F327} é',
  place: { at: [1.5, -2e-3, null, true, { x: {} }], name: '"' },
}
const coder = (name: string, ...parameters: [string, string][]): string =>
  `<tool_call>\n<function=${name}>\n${parameters.map(([key, value]) => `<parameter=${key}>\n${value}\n</parameter>\n`).join('')}</function>\n</tool_call>`
const glm = (name: string, ...parameters: [string, string][]): string =>
  `<tool_call>${name}\n${parameters.map(([key, value]) => `<arg_key>${key}</arg_key>\n<arg_value>${value}</arg_value>\n`).join('')}</tool_call>`
const [begin, end] = ['<｜tool▁call▁begin｜>', '<｜tool▁call▁end｜>']
const [all, allEnd, sep] = ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>', '<｜tool▁sep｜>']
const v3 = (name: string, args: unknown): string =>
  `${begin}function${sep}${name}\n\`\`\`json\n${JSON.stringify(args)}\n\`\`\`${end}`
const v31 = (name: string, args: unknown): string => `${begin}${name}${sep}${JSON.stringify(args)}${end}`
const hermes = (name: string, args: unknown): string => `<tool_call>\n${json(name, args)}\n</tool_call>`

export const samples: readonly Sample[] = [
  {
    name: 'qwen3: thinking, then an answer',
    options: { reasoning: 'qwen3', tools: 'qwen' },
    text: '<think>\nLet me see.\n  It is 4 < 5.\n</think>\n\n    indented\nanswer <tool>\n',
    reasoning: 'Let me see.\n  It is 4 < 5.',
    content: '    indented\nanswer <tool>\n',
  },
  {
    name: 'qwen3: thinking and two calls',
    options: { reasoning: 'qwen3', tools: 'qwen' },
    text: `<think>\nI call <tool_call> twice 東京\n</think>\n\nOne moment.\n${hermes('get_weather', paris)}\n${hermes('get_weather', tricky)}`,
    reasoning: 'I call <tool_call> twice 東京',
    content: 'One moment.',
    calls: [
      ['get_weather', paris],
      ['get_weather', tricky],
    ],
  },
  {
    name: 'hermes: keys in another order, more keys, none, text and null as arguments',
    options: { tools: 'hermes' },
    text: [
      `<tool_call>{"arguments": {"city": "Ulm"}, "name": "get_weather"}</tool_call>`,
      `<tool_call> { "id" : "x\\"" , "n":-1.5e+3, "name" : "now" } </tool_call>`,
      `<tool_call>{"type":"function","function":{"name":"get_weather","arguments":"{\\"days\\": 2}"}}</tool_call>`,
      `<tool_call>{"name": "now", "arguments": null}</tool_call> and a word`,
    ].join('\n'),
    content: ' and a word',
    calls: [
      ['get_weather', { city: 'Ulm' }],
      ['now', {}],
      ['get_weather', { days: 2 }],
      ['now', {}],
    ],
  },
  {
    name: 'hermes: a list, a line end in a string, a forgotten end tag, a brace too many',
    options: { tools: 'hermes' },
    text: `<tool_call>\n[${json('now', {})}, {"name": "get_weather", "arguments": {"city": "a\nb"}}]\n<tool_call>${json('now', {})}}\n</tool_call>\n`,
    calls: [
      ['now', {}],
      ['get_weather', { city: 'a\nb' }],
      ['now', {}],
    ],
  },
  {
    name: 'qwen3-coder: types by schema',
    options: { tools: 'qwen3-coder' },
    text: `I look.\n\n${coder('get_weather', ['city', '"New\n\nYork" <b> \\ 東京 \u{1F327}'], ['days', '3'], ['metric', 'True'], ['place', '{"lat": 1.5,\n "at": ["</function>"]}'], ['tags', '[1, "2"]'], ['note', 'null'], ['ratio', '0.5'], ['other', 'text'])}\n${coder('now')}`,
    content: 'I look.',
    calls: [
      [
        'get_weather',
        {
          city: '"New\n\nYork" <b> \\ 東京 \u{1F327}',
          days: 3,
          metric: true,
          place: { lat: 1.5, at: ['</function>'] },
          tags: [1, '2'],
          note: null,
          ratio: 0.5,
          other: 'text',
        },
      ],
      ['now', {}],
    ],
  },
  {
    name: 'qwen3-coder: no outer tag, values of the wrong type, forgotten ends',
    options: { tools: 'qwen3-coder' },
    text: `<function=get_weather>\n<parameter=days>\nthree\n<parameter=city>\n12\n<parameter=metric>\nmaybe\n</function>\n</tool_call>\nDone`,
    content: '\nDone',
    calls: [['get_weather', { days: 'three', city: '12', metric: 'maybe' }]],
  },
  {
    name: 'deepseek-r1: thinking open in the prompt, calls of V3',
    options: { reasoning: 'deepseek-r1', tools: 'deepseek-v3', promptEndsInThinking: true },
    text: `\nHm </thin> é\n</think>\n\nI ask.${all}${v3('get_weather', tricky)}\n${v3('now', {})}${allEnd}`,
    reasoning: 'Hm </thin> é',
    content: 'I ask.',
    calls: [
      ['get_weather', tricky],
      ['now', {}],
    ],
  },
  {
    name: 'deepseek-v3.1: thinking off in the prompt',
    options: { reasoning: 'deepseek-v3.1', tools: 'deepseek-v3.1', promptEndsInThinking: false },
    text: `I ask.\n${all}${v31('get_weather', tricky)}${v31('get_weather', paris)}${allEnd}`,
    content: 'I ask.',
    calls: [
      ['get_weather', tricky],
      ['get_weather', paris],
    ],
  },
  {
    name: 'ernie-x1: an answer between tags',
    options: { reasoning: 'ernie-x1', tools: 'ernie-x1', promptEndsInThinking: true },
    text: '\nI think\n</think>\n\n\n<response>\nThe answer\n\n  is 4.\n</response>\n\n',
    reasoning: 'I think',
    content: 'The answer\n\n  is 4.',
  },
  {
    name: 'ernie-x1: calls',
    options: { reasoning: 'ernie-x1', tools: 'ernie-x1', promptEndsInThinking: true },
    text: `I think\n</think>\n\n${hermes('now', {})}\n${hermes('get_weather', tricky)}\n`,
    reasoning: 'I think',
    calls: [
      ['now', {}],
      ['get_weather', tricky],
    ],
  },
  {
    name: 'ernie-45-vl-thinking: calls after the thinking only',
    options: { reasoning: 'ernie-45-vl-thinking', tools: 'ernie-45-vl-thinking' },
    text: `Hm\n</think>\n\n${hermes('get_weather', paris)}\nI wrote ${hermes('now', {})}`,
    reasoning: 'Hm',
    content: `\nI wrote ${hermes('now', {})}`,
    calls: [['get_weather', paris]],
  },
  {
    name: 'llama3-json: several calls',
    options: { tools: 'llama3-json' },
    text: `<|python_tag|>${json('get_weather', tricky, 'parameters')}; ${json('now', {}, 'parameters')};${json('get_weather', paris)}`,
    calls: [
      ['get_weather', tricky],
      ['now', {}],
      ['get_weather', paris],
    ],
  },
  {
    name: 'llama3-json: without its tag',
    options: { tools: 'llama3-json' },
    text: `\n{"type": "function", "name": "get_weather", "parameters": {"city": "Ulm"}}`,
    calls: [['get_weather', { city: 'Ulm' }]],
  },
  {
    name: 'llama3-json: an answer in JSON is no call',
    options: { tools: 'llama3-json' },
    text: '{"name": "Anna", "parameters": {"age": 3}} and {"name": "now", "parameters": {}}',
    content: '{"name": "Anna", "parameters": {"age": 3}} and {"name": "now", "parameters": {}}',
  },
  {
    name: 'mistral: the list of old',
    options: { tools: 'mistral' },
    text: `So: [TOOL_CALLS] [${json('get_weather', tricky)}, ${json('now', {})}]`,
    content: 'So:',
    calls: [
      ['get_weather', tricky],
      ['now', {}],
    ],
  },
  {
    name: 'mistral: since version 11',
    options: { tools: 'mistral' },
    text: `So:[TOOL_CALLS]get_weather${JSON.stringify(tricky)}[TOOL_CALLS]now[ARGS]{}[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]{"days": 1}`,
    content: 'So:',
    calls: [
      ['get_weather', tricky],
      ['now', {}],
      ['get_weather', { days: 1 }],
    ],
  },
  {
    name: 'glm-4.5: types by schema',
    options: { reasoning: { start: '<think>', end: '</think>' }, tools: 'glm-4.5' },
    text: `<think></think>\n${glm('get_weather', ['city', ' "Ulm"\n<arg_key> '], ['days', '3'], ['place', '{"a": "</arg_key>"}'], ['free', 'false'])}\n${glm('now')}`,
    calls: [
      ['get_weather', { city: ' "Ulm"\n<arg_key> ', days: 3, place: { a: '</arg_key>' }, free: false }],
      ['now', {}],
    ],
  },
]

/** What a sample means, in the form in which answers are compared. */
export function meaningOf({ reasoning, content, toolCalls }: ParsedOutput): Omit<Sample, 'name' | 'options' | 'text'> {
  const calls = toolCalls.map(({ name, arguments: text }) => [name, JSON.parse(text) as unknown] as const)
  return { reasoning, content, calls }
}
