import { roundTiesToEven } from '../dtype.ts'
import { expectInput, expectShape, type Attributes } from '../op.ts'
import type { Spec } from '../tensor.ts'
import type { View } from '../view.ts'

/** Checks that words, scales and zeros belong to `cols` inputs (see QuantizedWeight). */
export function inferQuantized(
  op: string,
  cols: number,
  words: Spec,
  scales: Spec,
  zeros: Spec | undefined,
  { bits, group }: Attributes,
): void {
  expectShape(op, bits === 4 || bits === 8, () => `${bits} bits`)
  expectShape(op, group! > 0 && group! % 8 === 0, () => `groups of ${group}, not a multiple of 8`)
  const width = Math.ceil((cols * bits!) / 32)
  expectShape(op, words.shape[1] === width, () => `${cols} columns meet words [${words.shape}]`)
  const groups = Math.ceil(cols / group!)
  for (const perGroup of zeros ? [scales, expectInput(op, zeros, 'zeros', 2, 'u8')] : [scales]) {
    const fits = perGroup.shape[0] === words.shape[0] && (perGroup.shape[1] === groups || perGroup.shape[1] === 1)
    expectShape(op, fits, () => `[${perGroup.shape}] for ${words.shape[0]} outputs and ${groups} groups`)
  }
}

/** A run of activations as int8. */
interface Run {
  readonly start: number
  readonly values: readonly number[]
  readonly scale: number
}

/** A row of activations, rounded run by run. */
export function quantizeRow(row: Float64Array, { group }: Attributes): Run[] {
  return Array.from({ length: Math.ceil(row.length / group!) }, (_, g) => quantizeRun(row, g * group!, group!))
}

/** Runs that stay below this are taken as zeros: 127 / max must not overflow. */
const tiny = 2 ** -100

function quantizeRun(row: Float64Array, start: number, group: number): Run {
  const run = Array.from(row.subarray(start, start + group))
  const max = run.reduce((a, b) => Math.max(a, Math.abs(b)), 0)
  const factor = max < tiny ? 0 : Math.fround(127 / max)
  const values = run.map((x) => roundTiesToEven(Math.fround(x * factor)))
  return { start, values, scale: Math.fround(max / 127) }
}

/** The product of rounded rows with row n of a quantised weight. */
export function quantizedOutput(
  { words, scales, zeros }: { words: View; scales: View; zeros: View | undefined },
  n: number,
  { bits }: Attributes,
): (row: readonly Run[]) => number {
  const weights = unpackWords(words.row(n), bits!)
  const ofGroup = (view: View, g: number): number => view.at(n, view.cols === 1 ? 0 : g)
  return (row) => {
    let sum = 0
    for (const [g, { start, values, scale }] of row.entries()) {
      const zero = zeros ? ofGroup(zeros, g) : 2 ** (bits! - 1)
      let dot = 0
      for (let i = 0; i < values.length; i++) dot += (weights[start + i]! - zero) * values[i]!
      sum += dot * Math.fround(scale * ofGroup(scales, g))
    }
    return sum
  }
}

/** The unsigned values of a row of words, in the order of k. */
function unpackWords(words: Float64Array, bits: number): Int32Array {
  const values = new Int32Array(words.length * (32 / bits))
  for (let i = 0; i < words.length; i++)
    for (let byte = 0; byte < 4; byte++) {
      const value = Math.floor(words[i]! / 2 ** (8 * byte)) % 256
      if (bits === 8) values[i * 4 + byte] = value
      else {
        values[i * 8 + byte] = value % 16
        values[i * 8 + 4 + byte] = Math.floor(value / 16)
      }
    }
  return values
}
