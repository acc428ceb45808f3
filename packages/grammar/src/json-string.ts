import { alt, chars, grammarFault, repeat, seq, text, type CodeRange, type Node } from './ast.ts'
import { complement, contains, subtract } from './ranges.ts'
import { parseRegex } from './regex.ts'

const unsafe: readonly CodeRange[] = [
  [0x00, 0x1f],
  [0x22, 0x22],
  [0x5c, 0x5c],
]
const plain = complement(unsafe)
/** Characters with an escape of one letter: quote, backslash, \b, \t, \n, \f, \r. */
const shortEscapes: readonly [number, string][] = [
  [0x22, '"'],
  [0x5c, '\\'],
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
]
const hex = chars([0x30, 0x39], [0x41, 0x46], [0x61, 0x66])

/** One character of a JSON string; without \u escapes, of which two may make one character. */
const measured = escaping(complement([]))
/** One character or escape of a JSON string. */
const anyChar = alt(measured, seq(text('\\u'), repeat(hex, 4, 4)))

/** What most strings repeat. */
export const stringContents: readonly Node[] = [anyChar, measured]

/** Any JSON string. */
export const anyString: Node = quoted(repeat(anyChar, 0, Infinity))

export function quoted(content: Node): Node {
  return seq(text('"'), content, text('"'))
}

/** How a set of characters is written inside a JSON string. Control characters without a short escape are left out. */
function escaping(ranges: readonly CodeRange[]): Node {
  const safe = subtract(ranges, unsafe)
  const escaped = shortEscapes.filter(([code]) => contains(ranges, code)).map(([, letter]) => text(`\\${letter}`))
  return alt(...(safe.length > 0 ? [chars(...safe)] : []), ...escaped)
}

const monthDay =
  '((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))'
const date = `[0-9]{4}-${monthDay}`
const time = '([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])'
const label = '[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?'
/** Without a bound on its length, which would cost a state for each character. */
const name = '[a-z0-9]+(-[a-z0-9]+)*'
const byte = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'

/** Formats that we can promise, as expressions that accept only valid values, if not all of them. */
const formats: Readonly<Record<string, string>> = {
  date,
  time,
  'date-time': `${date}T${time}`,
  duration: 'P([0-9]{1,4}D(T[0-9]{1,4}H)?|T[0-9]{1,4}[HMS]|[0-9]{1,4}[YMW])',
  email: `[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@${name}(\\.${name})+`,
  hostname: `${label}(\\.${label}){0,4}`,
  ipv4: `${byte}(\\.${byte}){3}`,
  ipv6: '[0-9a-f]{1,4}(:[0-9a-f]{1,4}){7}',
  uri: `[a-z][a-z0-9+.-]+://${name}(\\.${name})*(/[A-Za-z0-9_.~-]+)*/?(\\?[A-Za-z0-9_=&-]*)?`,
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}',
}
const maxLength = 100_000

interface StringSchema {
  readonly pattern?: unknown
  readonly format?: unknown
  readonly minLength?: unknown
  readonly maxLength?: unknown
}

/** A JSON string under the keywords of a schema; `where` is the schema's place, for messages. */
export function stringOf({ pattern, format, minLength, maxLength: longest }: StringSchema, where: string): Node {
  const expression = stringPattern({ pattern, format, minLength, maxLength: longest }, where)
  if (expression !== undefined)
    return quoted(parseRegex(expression, pattern === undefined ? where : `${where}.pattern`, escaping))
  const lengths = stringLimits({ minLength, maxLength: longest }, where)
  if (!lengths) return anyString
  const [min, max] = lengths
  return seq(text('"'), { type: 'counted', of: measured, min, max, end: '"' })
}

/** The expression that a string has to match; undefined without `pattern` and `format`. */
export function stringPattern(
  { pattern, format, minLength, maxLength: longest }: StringSchema,
  where: string,
): string | undefined {
  const hasLength = minLength !== undefined || longest !== undefined
  if (Number(pattern !== undefined) + Number(format !== undefined) + Number(hasLength) > 1)
    throw grammarFault(
      `${where}: "pattern", "format" and lengths cannot be enforced together; keep one (a pattern can hold a length)`,
    )
  if (pattern !== undefined && typeof pattern !== 'string') throw grammarFault(`${where}.pattern: must be a string`)
  if (pattern !== undefined || format === undefined) return pattern
  const known = typeof format === 'string' && Object.hasOwn(formats, format) ? formats[format] : undefined
  if (known !== undefined) return known
  throw grammarFault(
    `${where}.format: ${JSON.stringify(format)} cannot be enforced; use ${Object.keys(formats).join(', ')}, or a "pattern"`,
  )
}

/** Fewest and most characters; undefined where the schema leaves them open. */
export function stringLimits(
  { minLength, maxLength: longest }: StringSchema,
  where: string,
): readonly [min: number, max: number] | undefined {
  if (minLength === undefined && longest === undefined) return undefined
  const min = lengthOf(minLength, 0, `${where}.minLength`)
  const max = lengthOf(longest, Infinity, `${where}.maxLength`)
  if (min > max) throw grammarFault(`${where}: minLength ${min} is above maxLength ${max}`)
  return [min, max]
}

/** A count of a schema, such as minItems. */
export function lengthOf(value: unknown, absent: number, where: string): number {
  if (value === undefined) return absent
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0)
    throw grammarFault(`${where}: must be a whole number from 0 on, found ${JSON.stringify(value)}`)
  if (value > maxLength) throw grammarFault(`${where}: ${value} is more than the ${maxLength} that can be enforced`)
  return value
}

/** A JSON string that is none of `names`, for the keys of properties that a schema does not name. */
export function stringExcept(names: readonly string[], addRule: (node: Node) => Node): Node {
  const rest = repeat(chars(...plain), 0, Infinity)
  const build = (ends: readonly string[][]): Node => {
    const heads = [...new Set(ends.flatMap(([head]) => (head === undefined ? [] : [head])))]
    const others = subtract(
      plain,
      heads.map((head) => [head.codePointAt(0)!, head.codePointAt(0)!] as const),
    )
    const options = [
      ...(ends.some((end) => end.length === 0) ? [] : [text('')]),
      seq(chars(...others), rest),
      ...heads
        .filter((head) => contains(plain, head.codePointAt(0)!))
        .map((head) => seq(text(head), build(ends.filter((end) => end[0] === head).map((end) => end.slice(1))))),
    ]
    return addRule(alt(...options))
  }
  return quoted(build(names.map((name) => Array.from(name))))
}
