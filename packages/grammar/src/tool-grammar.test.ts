import { Tokenizer } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { beforeAll, describe, expect, test } from 'vitest'
import { GrammarCompiler } from './compiler.ts'
import { toSource, type GrammarSpec } from './spec.ts'
import { toolGrammar, type ToolCallForm, type ToolChoice, type ToolDefinition } from './tool-grammar.ts'
import { readVocabulary } from './vocabulary.ts'

const setup = { memoryBytes: 512 * 1024 ** 2, maxGrammars: 64 }
const stop = 4032
let compiler: GrammarCompiler
beforeAll(async () => {
  const tokenizer = await Tokenizer.load(miniModelDirectory)
  compiler = await GrammarCompiler.create(readVocabulary(tokenizer, { size: 4096, stopIds: [stop] }), setup)
})

/** `whole`: the text may end here; `part`: it has to go on; `refused`: it is none. */
function read(spec: GrammarSpec, text: string): 'whole' | 'part' | 'refused' {
  const matcher = compiler.compile(toSource(spec)).matcher()
  try {
    if (!matcher.acceptText(text)) return 'refused'
    const mask = new Uint32Array(4096 / 32)
    matcher.fillMask(mask)
    return ((mask[stop >>> 5]! >>> (stop & 31)) & 1) === 1 ? 'whole' : 'part'
  } finally {
    matcher.dispose()
  }
}

const inTags = { open: '<call>\n', between: '\n</call>\n<call>\n', close: '\n</call>' }
const json: ToolCallForm = { ...inTags, call: ['{"name": "', '", "arguments": ', '}'] }
const named: ToolCallForm = { open: '', between: '', close: '', call: ['[CALLS]', '[ARGS]', ''] }
const bare: ToolCallForm = { ...json, open: '', between: '; ', close: '' }
const framed: ToolCallForm = {
  open: '<|calls|>',
  between: '\n',
  close: '<|/calls|>',
  call: ['<|c|>', '<|s|>', '<|/c|>'],
}
const tagged: ToolCallForm = {
  open: '<call>',
  between: '</call>\n<call>',
  close: '</call>',
  call: ['', '\n', ''],
  tags: { key: ['<k>', '</k>\n'], value: ['<v>', '</v>\n'], never: ['</v>'] },
}
const add: ToolDefinition = {
  name: 'add',
  parameters: { type: 'object', properties: { a: { type: 'integer' }, s: { type: 'string' } }, required: ['a'] },
}
const now: ToolDefinition = { name: 'now', parameters: { type: 'object', properties: {} } }

/** A call of each, in a form, and one that does not fit its schema. */
const samples: [string, ToolCallForm, add: string, now: string, bad: string][] = [
  [
    'JSON between tags',
    json,
    '<call>\n{"name": "add", "arguments": {"a": 3, "s": "</call>"}}\n</call>',
    '<call>\n{"name": "now", "arguments": {}}\n</call>',
    '<call>\n{"name": "add", "arguments": {"a": "3"',
  ],
  ['names and JSON', named, '[CALLS]add[ARGS]{"a": -1}', '[CALLS]now[ARGS]{}', '[CALLS]add[ARGS]{}'],
  [
    'JSON alone',
    bare,
    '{"name": "add", "arguments": {"a":3}}',
    '{"name": "now", "arguments": {}}',
    '{"name": "add", "arguments": {"s": ',
  ],
  [
    'frames around all',
    framed,
    '<|calls|><|c|>add<|s|>{"a": 3}<|/c|><|/calls|>',
    '<|calls|><|c|>now<|s|>{}<|/c|><|/calls|>',
    '<|calls|><|c|>add<|s|>{"b"',
  ],
  [
    'tags around values',
    tagged,
    '<call>add\n<k>a</k>\n<v>3</v>\n<k>s</k>\n<v>a < b, </u>, <</w> and </v></call>'.replace(
      '</v></call>',
      '</v>\n</call>',
    ),
    '<call>now\n</call>',
    '<call>add\n<k>a</k>\n<v>"',
  ],
]

describe.each(samples)('%s', (_, form, first, second, bad) => {
  const of = (choice: ToolChoice, parallel = true): GrammarSpec => toolGrammar(form, [add, now], choice, { parallel })
  const both = `${first.slice(0, first.length - form.close.length)}${form.between}${second.slice(form.open.length)}`

  test('required: calls and nothing else', () => {
    expect(read(of('required'), first)).toBe('whole')
    expect(read(of('required'), both)).toBe('whole')
    expect(read(of('required'), 'Hello')).toBe('refused')
    expect(read(of('required'), '')).toBe('part')
    expect(read(of('required'), bad)).toBe('refused')
    expect(read(of('required'), `${first}!`)).toBe('refused')
  })

  test('one call at most, or one of a certain tool', () => {
    expect(read(of('required', false), second)).toBe('whole')
    expect(read(of('required', false), both)).toBe('refused')
    expect(read(of({ name: 'add' }), first)).toBe('whole')
    expect(read(of({ name: 'add' }), second)).toBe('refused')
    expect(read(of({ name: 'add' }), both)).toBe('refused')
  })

  test('auto: text as well', () => {
    expect(read(of('auto'), 'Hello, 2 < 3 [x]')).toBe('whole')
    expect(read(of('auto'), first)).toBe('whole')
    expect(read(of('auto'), both)).toBe('whole')
    expect(read(of('auto'), bad)).toBe('refused')
    expect(read(of('auto', false), both)).toBe('refused')
    if (form !== bare) expect(read(of('auto'), `Hello ${first}`)).toBe('whole')
  })
})

describe('arguments between tags', () => {
  const call = (properties: object, ...values: string[]): string => {
    const required = Object.keys(properties)
    const spec = toolGrammar(
      tagged,
      [{ name: 'f', parameters: { type: 'object', properties, required, $defs: { n: { type: 'integer' } } } }],
      'required',
    )
    return read(
      spec,
      `<call>f\n${values.map((value, i) => `<k>${required[i]!}</k>\n<v>${value}</v>\n`).join('')}</call>`,
    )
  }

  test.each<[object, string[], string[]]>([
    [{ type: 'string' }, ['', 'a', 'x </v'.slice(0, 4), '<', '</', '</<</w', 'é\n"'], []],
    [{ type: 'string', enum: ['red', 'a b'] }, ['red', 'a b'], ['"red"', 'blue']],
    [{ type: 'string', pattern: '^\\d{2}$' }, ['12'], ['1', 'ab']],
    [{ type: 'string', format: 'ipv4' }, ['1.2.3.4'], ['x']],
    [{ type: 'string', minLength: 2, maxLength: 3 }, ['ab', 'abc'], ['a', 'abcd']],
    [{ type: ['integer', 'null'] }, ['4', 'null'], ['"4"', 'x']],
    [
      { anyOf: [{ type: 'array', items: { $ref: '#/$defs/n' } }, { const: 'all' }] },
      ['[1, 2]', 'all'],
      ['[x]', '"all"'],
    ],
    [{ $ref: '#/$defs/n' }, ['7'], ['x']],
    // what begins as JSON of another type would be taken for it
    [{ type: ['string', 'integer'], minLength: 0, maximum: 5 }, ['a1', '4', ''], ['17', '-x', ' 9']],
    [{ type: ['string', 'null'] }, ['4', 'null', 'x'], []],
    [{ enum: ['red', 7, null] }, ['red', '7', 'null'], ['"red"', '8']],
    [{}, ['anything', '{"a": 1}'], []],
    [{ type: 'object', properties: { a: { type: 'boolean' } } }, ['{"a": true}', '{}'], ['{"a": 1}', 'x']],
  ])('%j', (schema, good, bad) => {
    for (const value of good) expect(call({ a: schema }, value), value).toBe('whole')
    for (const value of bad) expect(call({ a: schema }, value), value).toBe('refused')
  })

  test('in the order of the schema, those that are not required if at all', () => {
    expect(call({ a: { type: 'integer' }, b: { type: 'string' } }, '1', 'x')).toBe('whole')
    expect(call({ a: { type: 'integer' }, b: { type: 'string' } }, '1')).toBe('refused')
  })
})

describe('schemas that cannot be enforced', () => {
  const bad = { type: 'object', properties: { a: { type: 'array', uniqueItems: true } }, required: ['a'] }
  const spec = (form: ToolCallForm, parameters: Record<string, unknown>, strict?: boolean): GrammarSpec =>
    toolGrammar(form, [{ name: 'f', parameters, strict }], 'required')

  test('are refused where they must hold, and else any arguments will do', () => {
    expect(() => read(spec(json, bad), '')).toThrow('the arguments of the tool f: schema.properties.a')
    expect(read(spec(json, bad, false), '<call>\n{"name": "f", "arguments": {"b": [1, 1]}}\n</call>')).toBe('whole')
    expect(() => read(spec(tagged, bad, true), '')).toThrow('uniqueItems')
    expect(read(spec(tagged, bad, false), '<call>f\n<k>a</k>\n<v>any</v>\n</call>')).toBe('whole')
  })

  test.each<[Record<string, unknown>, string]>([
    [{ type: 'object', minProperties: 2 }, '"minProperties" cannot be enforced'],
    [{ type: 'object', properties: { 'a<b': {} } }, 'cannot stand between tags'],
    [{ type: 'object', properties: {}, required: ['a'] }, 'none of the properties'],
    [{ type: 'object', properties: { a: { const: 'x</v>' } } }, 'holds a marker'],
    [{ type: 'object', properties: { a: { enum: ['7', 7] } } }, 'could be JSON of another type'],
    [
      { type: 'object', properties: { a: { type: ['string', 'number'], pattern: 'a' } } },
      'a text by a pattern or format could be JSON',
    ],
    [{ $ref: '#/$defs/x', $defs: { x: { $ref: '#/$defs/x' } } }, 'cannot be followed'],
  ])('%j between tags', (parameters, message) => {
    expect(() => read(spec(tagged, parameters, true), '')).toThrow(message)
  })

  test('with a form for answers without calls', () => {
    const otherwise = toSource({ choice: ['yes', 'no'] })
    const either = toolGrammar(json, [add, now], 'auto', { otherwise })
    expect(read(either, 'yes')).toBe('whole')
    expect(read(either, samples[0]![2])).toBe('whole')
    expect(read(either, 'maybe')).toBe('refused')
    expect(() => toolGrammar(json, [add], 'required', { otherwise })).toThrow('no other form')
    const grammar = toSource({ grammar: 'root ::= "a"' })
    expect(() => toolGrammar(json, [add], 'auto', { otherwise: grammar })).toThrow('cannot be combined')
  })

  test('without tools, and of a tool that is not there', () => {
    expect(() => toolGrammar(json, [add], { name: 'rm' })).toThrow('no tool named "rm"')
    expect(() => toolGrammar(json, [], 'auto')).toThrow('none to call')
  })
})
