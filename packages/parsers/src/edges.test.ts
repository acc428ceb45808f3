import { describe, expect, test } from 'vitest'
import { OutputParser, parseOutput, type OutputParserOptions } from './output-parser.ts'
import { ReasoningCounter } from './reasoning/reasoning-counter.ts'
import type { ReasoningFormat } from './reasoning/reasoning-format.ts'
import { ParserRegistry } from './registry.ts'
import { envelopeCall } from './tools/envelope-call.ts'
import { convert } from './tools/value-writer.ts'
import { typesOf } from './tools/schema-types.ts'
import { toolFormat } from './tools/tool-format.ts'
import { weather } from './testing/samples.ts'

const think = { start: '<think>', end: '</think>' }

describe('reasoning', () => {
  const { reasoningNames } = ParserRegistry.builtIn()
  const parse = (reasoning: string | ReasoningFormat, text: string, promptEndsInThinking?: boolean) => {
    const output = parseOutput(text, { reasoning, promptEndsInThinking })
    return [output.reasoning, output.content]
  }

  test.each(reasoningNames)('%s: whatever the prompt', (name) => {
    expect(parse(name, 'Hm\n</think>\n\nHi', true)).toEqual(['Hm', 'Hi'])
    // the model repeats what the prompt has
    expect(parse(name, '\n<think>\nHm</think>Hi', true)).toEqual(['Hm', 'Hi'])
    expect(parse(name, '<think>\nHm\n</think>\n\nHi', false)).toEqual(['Hm', 'Hi'])
    // thinking was turned off
    expect(parse(name, 'Hi', false)).toEqual(['', 'Hi'])
    expect(parse(name, ' 1 < 2 <thin', false)).toEqual(['', ' 1 < 2 <thin'])
    expect(parse(name, '<think>\n\n</think>\n\nHi', false)).toEqual(['', 'Hi'])
    expect(parse(name, '</think>\n\nHi', true)).toEqual(['', 'Hi'])
    // without an end
    expect(parse(name, 'Hm </thin', true)).toEqual(['Hm </thin', ''])
    expect(parse(name, '<think>Hm\n', false)).toEqual(['Hm', ''])
    expect(parse(name, '<think>', false)).toEqual(['', ''])
    expect(parse(name, 'Hm</think>\n', true)).toEqual(['Hm', ''])
    // again
    expect(parse(name, 'a</think>\n<think>b</think></think>Hi <think>c</think>', true)).toEqual([
      'ab',
      'Hi <think>c</think>',
    ])
  })

  test('an end without a start', () => {
    expect(parse('deepseek-r1', 'Hm</think>Hi')).toEqual(['Hm', 'Hi'])
    expect(parse('qwen3', 'Hm</think>Hi')).toEqual(['', 'Hm</think>Hi'])
  })

  test('tags of your own', () => {
    expect(parse({ start: '[THINK]', end: '[/THINK]' }, '[THINK]a[/THINK]\nb')).toEqual(['a', 'b'])
    const registry = ParserRegistry.builtIn().withReasoning('mine', { start: '(', end: ')' })
    expect(parseOutput('(a) b', { reasoning: 'mine', registry })).toMatchObject({ reasoning: 'a', content: ' b' })
    expect(() => registry.withReasoning('bad', { start: '', end: 'x' })).toThrow('two different texts')
  })

  test('tokens are counted between the tags', () => {
    const count = (tokens: readonly string[], promptEndsInThinking?: boolean) => {
      const counter = new ReasoningCounter(think, promptEndsInThinking)
      for (const token of tokens) counter.push(token)
      return counter.numTokens
    }
    expect(count(['<think>', '\n', 'Hm', ' so', '\n', '</think>', '\n\n', 'Hi'])).toBe(4)
    expect(count(['Hm', ' so', '\n', '</think>', 'Hi'], true)).toBe(3)
    expect(count(['Hi', '<think>', 'x', '</think>'])).toBe(0)
    // tags of several tokens, and one that reaches into the text
    expect(count(['<th', 'ink>', 'Hm', ' a', '.</', 'think', '>', 'Hi'])).toBe(3)
    // the first bytes of a character have no text yet
    expect(count(['<think>', '', '', '東', '', '</think>', '', 'x'])).toBe(3)
    expect(count(['<think>', 'Hm', ' so'])).toBe(2)
    expect(count(['a', '</think>', '<think>', 'b', '</think>', 'c'], true)).toBe(2)
  })
})

describe('tool calls', () => {
  const call = '<tool_call>{"name": "now", "arguments": {}}</tool_call>'
  const parse = (tools: string, text: string, options: OutputParserOptions = {}) =>
    parseOutput(text, { tools, toolSchemas: [weather], ...options })

  test('text that only looks like a call is content', () => {
    for (const text of [
      '<tool_call>',
      '<tool_call>\nhello </tool_call>',
      '<tool_call>{"name": "now"',
      '<tool_call>{"name": 5, "arguments": {}}</tool_call>',
      '<tool_call>{"arguments": {}}</tool_call>',
      '<tool_call>{"name": "f", "arguments": [1]}</tool_call>',
      '<tool_call>{"name": "f", "arguments": "text"}</tool_call>',
      '<tool_call>{"name": "f", "argument": {"a": 1}}</tool_call>',
      'a </tool_call> b\n',
    ])
      expect(parse('hermes', text)).toEqual({ reasoning: '', content: text, toolCalls: [] })
  })

  test('a call after a broken one is found', () => {
    const { content, toolCalls } = parse('hermes', `<tool_call>{"name": <tool_call>${call}`)
    expect(content).toBe('<tool_call>{"name": <tool_call>')
    expect(toolCalls).toMatchObject([{ name: 'now', arguments: '{}' }])
  })

  test('arguments that break off stay a beginning of JSON, and what follows is content', () => {
    const { content, toolCalls } = parse('hermes', `<tool_call>{"name": "f", "arguments": {"a": [1, x]}}</tool_call>`)
    expect(toolCalls).toMatchObject([{ name: 'f', arguments: '{"a": [1, ' }])
    expect(content).toBe('x]}}')
  })

  test('every piece comes as early as it can', () => {
    const parser = new OutputParser({ tools: 'hermes', newToolCallId: () => 'id' })
    const deltas = [
      'Hi ',
      'you <',
      'tool_call>{"na',
      'me": "f", "arguments"',
      ': {"a',
      '": 1',
      '}}',
      '</tool_call>',
    ].map((text) => parser.push(text))
    expect([...deltas, parser.finish()]).toEqual([
      { content: 'Hi' },
      { content: ' you' },
      {},
      {},
      { toolCalls: [{ index: 0, id: 'id', name: 'f', argumentsDelta: '{"a' }] },
      { toolCalls: [{ index: 0, argumentsDelta: '": 1' }] },
      { toolCalls: [{ index: 0, argumentsDelta: '}' }] },
      {},
      {},
    ])
  })

  test('strings of tagged arguments stream', () => {
    const parser = new OutputParser({ tools: 'qwen3-coder', toolSchemas: [weather], newToolCallId: () => 'id' })
    parser.push('<tool_call>\n<function=get_weather>\n<parameter=city>\nNew')
    expect(parser.push(' York\n')).toEqual({ toolCalls: [{ index: 0, argumentsDelta: ' York' }] })
    expect(parser.push('</par')).toEqual({})
    expect(parser.finish()).toEqual({ toolCalls: [{ index: 0, argumentsDelta: '\\n</par' }] })
  })

  test('tagged arguments that are cut off', () => {
    const cut = (text: string) => {
      const { content, toolCalls } = parse('qwen3-coder', `<tool_call>\n<function=get_weather>\n${text}`)
      return [content, ...toolCalls.map((call) => call.arguments)]
    }
    expect(cut('<parameter=days>\n12')).toEqual(['', '{"days": 12'])
    expect(cut('<parameter=days>\n')).toEqual(['', '{"days": '])
    expect(cut('<parameter=days>\nab"c')).toEqual(['', '{"days": "ab\\"c'])
    expect(cut('<parameter=days>\n1\n</parameter>\n')).toEqual(['', '{"days": 1}'])
    expect(cut('<parameter=days>\n1\n</parameter>\n</func')).toEqual(['\n</func', '{"days": 1'])
    expect(cut('<parameter=da')).toEqual(['da', '{'])
    expect(cut('<parameter=a\nb>')).toEqual(['a\nb>', '{}'])
    expect(cut('<parameter=days>\n1\n</parameter>\nwhy?\n</function>\n</tool_call>')).toEqual(['\nwhy?', '{"days": 1}'])
  })

  test('ids have the form of the format', () => {
    const ids = (tools: string, text: string) => parse(tools, text).toolCalls.map(({ id }) => id)
    expect(ids('hermes', call)).toEqual([expect.stringMatching(/^call_[\da-zA-Z]{24}$/)])
    expect(ids('mistral', '[TOOL_CALLS]now{}')).toEqual([expect.stringMatching(/^[\da-zA-Z]{9}$/)])
  })

  test('a format of your own', () => {
    const format = toolFormat({ opens: { '@call': envelopeCall() }, closes: ['@end'] })
    const registry = ParserRegistry.builtIn().withTools('mine', format)
    const { content, toolCalls } = parse('mine', 'Hi @call{"name":"f"}@end', { registry })
    expect(content).toBe('Hi')
    expect(toolCalls).toMatchObject([{ name: 'f', arguments: '{}' }])
    expect(format.markers).toEqual(['@call', '@end'])
    expect(registry.toolNames).toContain('mine')
    expect(ParserRegistry.builtIn().toolNames).not.toContain('mine')
    expect(() => parse('min', '')).toThrow('there is no tool call parser "min"; use one of hermes, ')
    expect(() => parseOutput('', { reasoning: 'x' })).toThrow('there is no reasoning parser "x"; use one of qwen3, ')
  })

  test('no prototype is touched', () => {
    const text = '<tool_call>{"__proto__": 1, "name": "constructor", "arguments": {"__proto__": {"x": 1}}}</tool_call>'
    expect(parse('hermes', text).toolCalls).toMatchObject([
      { name: 'constructor', arguments: '{"__proto__": {"x": 1}}' },
    ])
    const coder = '<function=constructor>\n<parameter=constructor>\nconstructor\n</parameter>\n</function>'
    expect(parse('qwen3-coder', coder).toolCalls).toMatchObject([{ arguments: '{"constructor": "constructor"}' }])
  })
})

test.each<[string, string[] | undefined, string]>([
  ['5', ['integer'], '5'],
  [' 5 ', ['integer'], '5'],
  ['5.5', ['integer'], '"5.5"'],
  ['5.5', ['number'], '5.5'],
  ['1e3', ['number'], '1e3'],
  ['05', ['number'], '"05"'],
  ['true', ['boolean'], 'true'],
  ['False', ['boolean'], 'false'],
  ['yes', ['boolean'], '"yes"'],
  ['None', ['null', 'integer'], 'null'],
  ['null', ['string', 'null'], 'null'],
  ['None', ['string', 'null'], '"None"'],
  ['5', ['string', 'integer'], '5'],
  ['"x"', ['string', 'integer'], '"\\"x\\""'],
  ['{"a": [1]}', ['object'], '{"a": [1]}'],
  ['{"a": [1}', ['object'], '"{\\"a\\": [1}"'],
  ['[1]', ['object'], '"[1]"'],
  ['[1]', ['array'], '[1]'],
  ['12', undefined, '12'],
  ['text', undefined, '"text"'],
])('%s as %s is %s', (text, types, json) => {
  expect(convert(text, types && new Set(types))).toBe(json)
})

test.each<[unknown, string[] | undefined]>([
  [{ type: 'string' }, ['string']],
  [{ type: ['string', 'null'] }, ['string', 'null']],
  [{ anyOf: [{ type: 'integer' }, { type: 'null' }] }, ['integer', 'null']],
  [{ oneOf: [{ type: 'integer' }, {}] }, undefined],
  [{ allOf: [{}, { type: 'array' }] }, ['array']],
  [{ enum: ['a', 1, null, []] }, ['string', 'number', 'null', 'array']],
  [{ const: 'x' }, ['string']],
  [{ $ref: '#/$defs/a' }, ['boolean']],
  [{ $ref: '#/$defs/loop' }, undefined],
  [{ $ref: 'https://example.org' }, undefined],
  [{}, undefined],
  [undefined, undefined],
])('types of %j', (schema, types) => {
  const $defs = { a: { type: 'boolean' }, loop: { $ref: '#/$defs/loop' } }
  const found = typesOf({ type: 'object', properties: { x: schema }, $defs }, 'x')
  expect(found && [...found]).toEqual(types)
})

test('long and hostile text takes linear time', () => {
  const n = 100_000
  const fill = (text: string): string => text.repeat(Math.ceil(n / text.length)).slice(0, n)
  const texts = [
    fill('<tool_call>'),
    fill('<tool_call>{"a":"'),
    fill('<'),
    fill(' \n'),
    `<tool_call>${fill(' ')}`,
    `<tool_call>{"name":"f","arguments":${fill('[')}`,
    `<tool_call>{"name":"f","arguments":{"a":"${fill('\\"')}`,
    `<tool_call>{"arguments":{"a":"${fill('<tool_call>')}`,
    `<tool_call>f${fill('<arg_key>k</arg_key><arg_value>')}`,
    `<tool_call><function=f>${fill('<parameter=k>\n\n</parameter')}`,
    `<function=${fill('f')}`,
    fill('<think></think>'),
    `<think>${fill('</thin')}`,
    fill('[TOOL_CALLS][{'),
    fill('{"name":"get_weather","parameters":{}};'),
    fill('<｜tool▁call▁begin｜>function<｜tool▁sep｜>'),
    fill('\u{1F327}"}'),
  ]
  let slowest = 0
  for (const text of texts)
    for (const tools of ['hermes', 'qwen3-coder', 'deepseek-v3', 'llama3-json', 'mistral', 'glm-4.5']) {
      const started = performance.now()
      const options = { reasoning: 'ernie-x1', tools, toolSchemas: [weather], promptEndsInThinking: false }
      const parser = new OutputParser(options)
      for (let at = 0; at < text.length; at += 7) parser.push(text.slice(at, at + 7))
      parser.finish()
      slowest = Math.max(slowest, performance.now() - started)
    }
  // milliseconds; a quadratic one takes a minute
  expect(slowest).toBeLessThan(5000)
  const counter = new ReasoningCounter(think)
  for (let at = 0; at < n; at += 5) counter.push(texts[11]!.slice(at, at + 5))
  // the last one is cut off inside
  expect(counter.numTokens).toBe(1)
})
