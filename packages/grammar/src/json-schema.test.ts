import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { beforeAll, describe, expect, test } from 'vitest'
import { GrammarCompiler } from './compiler.ts'
import { toGrammarText, toSource } from './spec.ts'
import type { Vocabulary } from './vocabulary.ts'

const ajv = new Ajv2020({ strict: false })
addFormats.default(ajv)
const vocabulary: Vocabulary = {
  bytes: [new TextEncoder().encode('x')],
  isSpecial: (id) => id === 1,
  size: 2,
  stopIds: [1],
}

let compiler: GrammarCompiler
beforeAll(async () => {
  compiler = await GrammarCompiler.create(vocabulary, { memoryBytes: 128 * 1024 ** 2, maxGrammars: 2 })
})

function accepts(json: object, text: string, disableAnyWhitespace = false): boolean {
  const matcher = compiler.compile(toSource({ json: json as never, disableAnyWhitespace })).matcher()
  const mask = new Uint32Array(1)
  const isFine = matcher.acceptText(text) && matcher.fillMask(mask) && ((mask[0]! >>> 1) & 1) === 1
  matcher.dispose()
  return isFine
}

const list = { type: 'array', items: { type: 'integer' } }
const person = { type: 'object', properties: { name: { type: 'string' }, age: { type: 'integer' } }, required: ['age'] }
const tree = {
  type: 'object',
  properties: { v: { type: 'null' }, kids: { type: 'array', items: { $ref: '#' } } },
  required: ['kids'],
}

/** Texts that must and must not be accepted; those that must are checked by ajv as well. */
const cases: [object, string[], string[]][] = [
  [{ type: 'string' }, ['""', '"a\\u00e9\\n"', '"😀"'], ['"', '"\n"', '"\\x"', 'a']],
  [
    { type: 'string', minLength: 2, maxLength: 40 },
    ['"ab"', `"${'é'.repeat(40)}"`, `"${'x'.repeat(33)}"`],
    ['"a"', `"${'x'.repeat(41)}"`],
  ],
  [{ type: 'string', minLength: 30 }, [`"${'y'.repeat(30)}"`, `"${'y'.repeat(99)}"`], [`"${'y'.repeat(29)}"`]],
  [{ type: 'string', pattern: '^a."$' }, ['"ab\\""', '"a\\\\\\""'], ['"ab""', '"a\n\\""']],
  [{ type: 'string', format: 'date' }, ['"2024-02-28"'], ['"2024-02-30"', '"2024-13-01"']],
  [{ type: 'string', format: 'email' }, ['"a.b@c-d.org"'], ['"a@b"', '"@b.c"']],
  [{ type: 'string', format: 'uri' }, ['"https://a.org/b/c?d=e"'], ['"https//a"']],
  [{ type: 'integer' }, ['0', '-7', '123'], ['01', '1.5', '+1', '']],
  [
    { type: 'integer', minimum: -17, exclusiveMaximum: 240 },
    ['-17', '-9', '0', '99', '239'],
    ['-18', '240', '1000', '-100'],
  ],
  [{ type: 'integer', minimum: 95 }, ['95', '100', '123456'], ['94', '9', '-95']],
  [{ type: 'integer', maximum: -3 }, ['-3', '-10', '-999'], ['-2', '0', '3']],
  [
    { type: 'number', minimum: -0.25, maximum: 1.5 },
    ['-0.25', '0', '1.5', '1.49', '0.3'],
    ['-0.26', '1.51', '2', '-1'],
  ],
  [{ type: 'number' }, ['1e5', '-0.5E-3', '12.75'], ['.5', '1.', '1e']],
  [{ type: ['boolean', 'null'] }, ['true', 'false', 'null'], ['0', '"true"']],
  [{ enum: [1, 'a"b', null, { x: [1] }] }, ['1', '"a\\"b"', '{"x":[1]}'], ['2', '"a']],
  [{ enum: [1, 'a'], type: 'string' }, ['"a"'], ['1']],
  [{ const: { k: 'v' } }, ['{"k":"v"}'], ['{"k":"w"}']],
  [
    person,
    ['{"age": 3}', '{"name":"x","age":3}', '{\n  "name": "x",\n  "age": 3\n}'],
    ['{"name":"x"}', '{"age":3,"name":"x"}', '{"age":3,"q":1}', '{"age":3,}'],
  ],
  [{ ...person, required: [] }, ['{}', '{"name":""}', '{"age":1}'], ['{,"age":1}']],
  [
    { ...person, additionalProperties: { type: 'null' } },
    ['{"age":3,"agf":null}', '{"age":3,"a":null,"ages":null}'],
    ['{"age":3,"age":null}', '{"age":3,"name":null}', '{"age":3,"x":1}'],
  ],
  [
    { properties: { a: { type: 'null' } }, additionalProperties: true },
    ['{"b":[1,{"c":"d"}]}', '{"a":null}', '{}'],
    ['{"a":1}'],
  ],
  [
    { type: 'object', additionalProperties: { type: 'integer' }, minProperties: 1, maxProperties: 2 },
    ['{"x":1}', '{"x":1,"y":2}'],
    ['{}', '{"x":1,"y":2,"z":3}'],
  ],
  [{ type: 'object', patternProperties: { '^k[0-9]$': { type: 'null' } } }, ['{"k1":null}', '{}'], ['{"q":null}']],
  [
    { type: 'object', propertyNames: { enum: ['p', 'q'] }, additionalProperties: { type: 'null' } },
    ['{"p":null}'],
    ['{"r":null}'],
  ],
  [{ type: 'object', additionalProperties: false }, ['{}', '{ }'], ['{"a":1}']],
  [list, ['[]', '[1]', '[1, 2,3]', '[\n 1\n]'], ['[,]', '[1,]', '[1 2]']],
  [{ ...list, minItems: 2, maxItems: 3 }, ['[1,2]', '[1,2,3]'], ['[1]', '[1,2,3,4]']],
  [{ ...list, maxItems: 0 }, ['[]'], ['[1]']],
  [
    { type: 'array', prefixItems: [{ type: 'null' }, { const: 1 }], items: { type: 'boolean' } },
    ['[null,1]', '[null,1,true]'],
    ['[null]', '[null,1,2]'],
  ],
  [{ type: 'array', prefixItems: [{ type: 'null' }], items: false }, ['[null]'], ['[null,1]']],
  [tree, ['{"kids":[]}', '{"v":null,"kids":[{"kids":[]}]}'], ['{"kids":[1]}']],
  [{ $ref: '#/$defs/a~1b', $defs: { 'a/b': { type: 'null' } } }, ['null'], ['1']],
  [{ anyOf: [{ type: 'null' }, { type: 'integer', minimum: 5, maximum: 6 }] }, ['null', '5'], ['4']],
  [{ oneOf: [{ type: 'null' }, { type: 'boolean' }] }, ['null', 'true'], ['1']],
  [
    { oneOf: [1, 2].map((k) => ({ type: 'object', properties: { k: { const: k } }, required: ['k'] })) },
    ['{"k":2}'],
    ['{"k":3}'],
  ],
  [{ allOf: [{ type: 'null' }], description: 'x' }, ['null'], ['1']],
  [{}, ['{"a":[1,null,{"b":"c"}]}', '1.5', '"x"'], ['{a:1}']],
]

describe('what is accepted', () => {
  test.each(cases)('%j', (schema, good, bad) => {
    for (const text of good) {
      expect(ajv.validate(schema, JSON.parse(text)), text).toBe(true)
      expect(accepts(schema, text), text).toBe(true)
    }
    for (const text of bad) expect(accepts(schema, text), text).toBe(false)
  })

  test('compact layout has one form', () => {
    expect(accepts(person, '{"name": "x", "age": 3}', true)).toBe(true)
    expect(accepts(person, '{"name":"x", "age": 3}', true)).toBe(false)
    expect(accepts(list, '[1, 2]', true)).toBe(true)
  })
})

describe('what is refused names itself', () => {
  test.each<[object, string]>([
    [{ type: 'array', uniqueItems: true }, 'schema.uniqueItems'],
    [{ type: 'array', contains: {} }, 'keyword "contains"'],
    [{ type: 'array', items: [{}] }, 'use "prefixItems"'],
    [{ type: 'array', minItems: 3, maxItems: 2 }, 'minItems 3 is above maxItems 2'],
    [{ type: 'array', prefixItems: [{}], items: false, minItems: 2 }, 'more than the items it allows'],
    [{ type: 'integer', multipleOf: 3 }, 'keyword "multipleOf"'],
    [{ type: 'integer', minimum: 1, exclusiveMinimum: 1 }, 'both minimum and exclusiveMinimum'],
    [{ type: 'integer', minimum: '1' }, 'must be a number'],
    [{ type: 'string', pattern: 'a', maxLength: 3 }, 'cannot be enforced together'],
    [{ type: 'string', format: 'iri' }, '"iri" cannot be enforced'],
    [{ type: 'string', minLength: -1 }, 'whole number from 0 on'],
    [{ type: 'string', minimum: 1 }, '"minimum" does not go with the type string'],
    [{ type: 'object', required: ['a'] }, '"a" is not among the properties'],
    [{ type: 'object', minProperties: 3 }, 'minProperties: 3 cannot be enforced'],
    [{ type: 'object', properties: { a: {} }, maxProperties: 0 }, 'maxProperties: 0 cannot be enforced'],
    [{ type: 'object', properties: { a: {} }, patternProperties: { b: {} } }, 'patternProperties'],
    [
      { type: 'object', properties: { a: {} }, propertyNames: { maxLength: 2 }, additionalProperties: true },
      'propertyNames',
    ],
    [{ not: {} }, 'keyword "not"'],
    [{ allOf: [{}, {}] }, 'merge them'],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 'may overlap'],
    [{ anyOf: [] }, 'at least one schema'],
    [{ anyOf: [{}], minimum: 1 }, '"minimum" beside "anyOf"'],
    [{ enum: [] }, 'at least one value'],
    [{ enum: ['a'], type: 'integer' }, 'no value of "enum"'],
    [{ properties: { a: false } }, 'schema.properties.a: is false'],
    [{ properties: { a: 3 } }, 'schema.properties.a: must be an object or true'],
  ])('%j', (schema, message) => {
    expect(() => toGrammarText(toSource({ json: schema as never }))).toThrow(message)
  })
})
