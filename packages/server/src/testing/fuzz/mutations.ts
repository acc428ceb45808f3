import type { Random } from './random.ts'

/** A number that JSON can write and no double can hold; put into the text in place of this one. */
const beyondNumbers = 123456789.25

const oddValues: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 53,
  -(2 ** 63),
  1e308,
  beyondNumbers,
  '',
  '1',
  'NaN',
  'Infinity',
  'true',
  '\ud800',
  'é'.repeat(2000),
  'word '.repeat(3000),
  [],
  [[]],
  [null],
  {},
  { type: 'text' },
  { $ref: '#' },
  Array.from({ length: 3000 }, (_, i) => i),
  Array.from({ length: 600 }, () => 'x'),
  nested(40),
  nested(80),
  '__proto__',
]
const oddKeys = ['__proto__', 'constructor', 'toString', '', 'a.b', 'x'.repeat(500), '雪', 'max_token', '0', 'stream ']

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

/** Changes a value in one to three places: odd values, what is left out, and what does not belong there. */
export function mutated(value: unknown, random: Random): unknown {
  const changed: unknown = structuredClone(value)
  for (let i = 1 + random.below(3); i > 0; i--) {
    const places = placesOf(changed)
    if (places.length === 0) return random.pick(oddValues)
    const [owner, key] = random.pick(places)
    const way = random.below(6)
    if (way === 0) delete owner[key]
    else if (way === 1 && !Array.isArray(owner))
      Object.defineProperty(owner, random.pick(oddKeys), {
        value: random.pick(oddValues),
        enumerable: true,
        writable: true,
        configurable: true,
      })
    else owner[key] = structuredClone(random.pick(oddValues))
  }
  return changed
}

type Owner = Record<string | number, unknown>

/** Everything inside a value, with who holds it. */
function placesOf(value: unknown): [Owner, string | number][] {
  if (typeof value !== 'object' || value === null) return []
  // the odd values themselves are changed no further
  const keys = Object.keys(value).slice(0, 50)
  return keys.flatMap((key) => [[value as Owner, key] as [Owner, string], ...placesOf((value as Owner)[key])])
}

/** The bytes of a body, most of the time as it should be written. */
export function written(value: unknown, random: Random, isOdd: boolean): Buffer {
  const text = (JSON.stringify(value) ?? 'undefined').replaceAll(String(beyondNumbers), '1e999')
  if (!isOdd) return Buffer.from(text)
  const at = random.below(text.length + 1)
  const head = text.slice(0, at)
  const tail = text.slice(at)
  return random.pick([
    () => Buffer.from(head),
    () => Buffer.from(`${head}${random.pick(['"', '}', '[', ',', '\\', '\u0000', '\n', 'NaN', '1e', "'"])}${tail}`),
    () => Buffer.from(`${text}${text}`),
    () => Buffer.from(`\ufeff${text}`),
    () => Buffer.concat([Buffer.from(head), Buffer.from([0xff, 0xc0, 0x80]), Buffer.from(tail)]),
    () => Buffer.from(text, 'utf16le'),
    () => Buffer.from(`${'['.repeat(100_000)}`),
    () => Buffer.from(`{"a":`.repeat(50)),
    () => Buffer.from(' '.repeat(60_000)),
    () => Buffer.alloc(0),
    () => Buffer.from(random.pick(['null', '0', '""', '[]', '[[]]', 'true', '"text"', '{}', '-', '{"":{}}'])),
  ])()
}

export const oddContentTypes = [
  undefined,
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/json; charset=utf-16',
  'application/json; charset="UTF-8"',
  'APPLICATION/JSON;charset=utf-8',
  'application/jsonp',
  ';;;',
  'application/json, text/plain',
]

export const oddPathParts = [
  'a',
  '...',
  '%2e%2e%2f',
  '%00',
  '%',
  '%zz',
  '%F0%9F',
  '雪',
  'a/b//c',
  'x'.repeat(3000),
  ' ',
]
export const oddQueries = [
  'a=b',
  'stream=true',
  '%zz',
  '=',
  '&&&',
  'a[]=1&a[]=2',
  '__proto__=1',
  'x='.repeat(800),
  '%00',
]
export const oddMethods = ['PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'GET', 'POST', 'TRACE', 'PROPFIND', 'LINK']
