import { alt, chars, empty, grammarFault, repeat, seq, text, type CodeRange, type Node } from './ast.ts'

/** Digits that a double holds for sure. */
const maxDigits = 15
const digit = chars([0x30, 0x39])
const integer = alt(text('0'), seq(chars([0x31, 0x39]), repeat(digit, 0, maxDigits - 1)))
const exponent = seq(
  chars([0x45, 0x45], [0x65, 0x65]),
  repeat(chars([0x2b, 0x2b], [0x2d, 0x2d]), 0, 1),
  repeat(digit, 1, 2),
)

export const anyInteger: Node = seq(repeat(text('-'), 0, 1), integer)
export const anyNumber: Node = seq(
  anyInteger,
  repeat(seq(text('.'), repeat(digit, 1, maxDigits)), 0, 1),
  repeat(exponent, 0, 1),
)

interface NumberSchema {
  readonly minimum?: unknown
  readonly maximum?: unknown
  readonly exclusiveMinimum?: unknown
  readonly exclusiveMaximum?: unknown
}

/** A decimal fraction: digits / 10^places. */
interface Decimal {
  readonly digits: bigint
  readonly places: number
}

/**
 * A JSON number within the bounds of a schema. Without bounds any number; with them plain decimals with as many places
 * as the bounds have, and at least two.
 */
export function numberOf(schema: NumberSchema, isInteger: boolean, where: string, addRule: (node: Node) => Node): Node {
  const low = boundOf(schema, 'minimum', 'exclusiveMinimum', where)
  const high = boundOf(schema, 'maximum', 'exclusiveMaximum', where)
  if (!low && !high) return isInteger ? anyInteger : anyNumber
  const mostPlaces = isInteger ? 0 : Math.max(2, low?.bound.places ?? 0, high?.bound.places ?? 0)
  const options: CodeRange[][] = []
  for (let places = 0; places <= mostPlaces; places++) {
    const from = low ? ceil(low.bound, places, low.isExclusive) : -limit(places)
    const to = high ? -ceil(negate(high.bound), places, high.isExclusive) : limit(places)
    if (from <= to) options.push(...rangeOptions(from, to, places))
  }
  if (options.length === 0)
    throw grammarFault(`${where}: no ${isInteger ? 'integer' : 'number'} lies between its bounds; widen them`)
  return new Trie(addRule).node(options)
}

function limit(places: number): bigint {
  return 10n ** BigInt(maxDigits) - 1n > 10n ** BigInt(places) ? 10n ** BigInt(maxDigits) - 1n : 10n ** BigInt(places)
}

function boundOf(
  schema: NumberSchema,
  inclusive: keyof NumberSchema,
  exclusive: keyof NumberSchema,
  where: string,
): { bound: Decimal; isExclusive: boolean } | undefined {
  if (schema[inclusive] !== undefined && schema[exclusive] !== undefined)
    throw grammarFault(`${where}: has both ${inclusive} and ${exclusive}; keep one`)
  const isExclusive = schema[exclusive] !== undefined
  const value = schema[isExclusive ? exclusive : inclusive]
  if (value === undefined) return undefined
  const name = `${where}.${isExclusive ? exclusive : inclusive}`
  if (typeof value !== 'number') throw grammarFault(`${name}: must be a number, found ${JSON.stringify(value)}`)
  const match = /^(-?)(\d+)(?:\.(\d+))?$/.exec(String(value))
  const fraction = match?.[3] ?? ''
  if (!match || match[2]!.length + fraction.length > maxDigits)
    throw grammarFault(`${name}: ${value} has too many digits to be enforced, at most ${maxDigits}; round it`)
  return { bound: { digits: BigInt(match[1] + match[2]! + fraction), places: fraction.length }, isExclusive }
}

function negate({ digits, places }: Decimal): Decimal {
  return { digits: -digits, places }
}

/** The smallest whole k with k / 10^places at or, if exclusive, above the bound. */
function ceil(bound: Decimal, places: number, isExclusive: boolean): bigint {
  const scaled = bound.digits * 10n ** BigInt(places)
  const unit = 10n ** BigInt(bound.places)
  const floor = scaled >= 0n || scaled % unit === 0n ? scaled / unit : scaled / unit - 1n
  const isExact = floor * unit === scaled
  return isExact && !isExclusive ? floor : floor + 1n
}

/** Decimals k / 10^places for k from `from` to `to`, as patterns of digits. */
function rangeOptions(from: bigint, to: bigint, places: number): CodeRange[][] {
  const options: CodeRange[][] = []
  if (from < 0n) {
    const closest = to < 0n ? -to : 1n
    for (const pattern of digitPatterns(closest, -from, places + 1)) options.push([minus, ...decimal(pattern, places)])
  }
  if (to >= 0n)
    for (const pattern of digitPatterns(from > 0n ? from : 0n, to, places + 1)) options.push(decimal(pattern, places))
  return options
}

type DigitRange = readonly [low: number, high: number]

const minus: CodeRange = [0x2d, 0x2d]
const point: CodeRange = [0x2e, 0x2e]

function decimal(pattern: readonly DigitRange[], places: number): CodeRange[] {
  const parts = pattern.map(([low, high]): CodeRange => [0x30 + low, 0x30 + high])
  if (places > 0) parts.splice(parts.length - places, 0, point)
  return parts
}

/**
 * Sequences of character ranges as a tree that reads each character once. xgrammar 0.1.27 merges states of overlapping
 * alternatives that it should keep apart, and then accepts too much.
 */
class Trie {
  readonly #addRule: (node: Node) => Node
  readonly #nodes = new Map<string, Node>()

  constructor(addRule: (node: Node) => Node) {
    this.#addRule = addRule
  }

  node(options: readonly (readonly CodeRange[])[]): Node {
    const key = [...new Set(options.map((option) => option.join(';')))].sort().join('|')
    const known = this.#nodes.get(key)
    if (known) return known
    // ranges cut where any begins or ends
    const heads = options.flatMap(([head]) => (head ? [head] : []))
    const cuts = [...new Set(heads.flatMap(([low, high]) => [low, high + 1]))].sort((a, b) => a - b)
    const branches = cuts.slice(0, -1).flatMap((low, i): Node[] => {
      const rests = options
        .filter(([head]) => head && head[0] <= low && low <= head[1])
        .map((option) => option.slice(1))
      return rests.length > 0 ? [seq(chars([low, cuts[i + 1]! - 1]), this.node(rests))] : []
    })
    const mayEnd = options.some((option) => option.length === 0)
    const node = branches.length === 0 ? empty : this.#addRule(alt(...(mayEnd ? [empty] : []), ...branches))
    this.#nodes.set(key, node)
    return node
  }
}

/** Runs of digits, of at least `width`, that together name the numbers from `from` to `to`, and no others. */
function digitPatterns(from: bigint, to: bigint, width: number): DigitRange[][] {
  const patterns: DigitRange[][] = []
  const last = to.toString().padStart(width, '0')
  for (let low = from.toString().padStart(width, '0'); ; low = `1${'0'.repeat(low.length)}`) {
    if (low.length > last.length) return patterns
    const high = low.length < last.length ? '9'.repeat(low.length) : last
    patterns.push(...between(Array.from(low, Number), Array.from(high, Number)))
  }
}

/** The same for bounds of equal length. */
function between(low: readonly number[], high: readonly number[]): DigitRange[][] {
  if (low.length === 0) return [[]]
  const [a, b] = [low[0]!, high[0]!]
  const rest = low.length - 1
  const any = Array.from({ length: rest }, (): DigitRange => [0, 9])
  if (a === b) return between(low.slice(1), high.slice(1)).map((tail) => [[a, a], ...tail])
  const isWholeLow = low.slice(1).every((x) => x === 0)
  const isWholeHigh = high.slice(1).every((x) => x === 9)
  const patterns: DigitRange[][] = []
  const first = isWholeLow ? a : a + 1
  const final = isWholeHigh ? b : b - 1
  if (!isWholeLow)
    for (const tail of between(low.slice(1), Array<number>(rest).fill(9))) patterns.push([[a, a], ...tail])
  if (first <= final) patterns.push([[first, final], ...any])
  if (!isWholeHigh)
    for (const tail of between(Array<number>(rest).fill(0), high.slice(1))) patterns.push([[b, b], ...tail])
  return patterns
}
