import { SlipwayError } from '../errors.ts'
import { fromNumbers, type DType, type TypedArray } from '../dtype.ts'

/** Ranks or outputs that lie side by side, one per lane of a vector. */
export const loraLanes = 16

/** Most parts of a product that adapters tell apart: q, k and v. */
export const maxLoraParts = 3

/** A product [K] -> [N] as adapters see it: its outputs are those of several linear layers one after another. */
export interface LoraShape {
  readonly inputs: number
  /** Outputs of each part; their sum is N. */
  readonly widths: readonly number[]
  readonly maxRank: number
}

/** What an adapter adds to one part: down [r, K] and up [n, r], by rows; r is at most `maxRank`. */
export interface LoraPart {
  readonly rank: number
  readonly down: ArrayLike<number>
  readonly up: ArrayLike<number>
}

const roundUp = (n: number): number => Math.ceil(n / loraLanes) * loraLanes

/** Elements of an adapter's place in `down` for each part: tiles of 16 ranks, [tile][K][16]. */
export function downSize({ inputs, maxRank }: LoraShape): number {
  return roundUp(maxRank) * inputs
}

/** Elements before those of part `p` in an adapter's place in `up`: tiles of 16 outputs, [tile][r][16]. */
export function upStart({ widths, maxRank }: LoraShape, p: number): number {
  return widths.slice(0, p).reduce((sum, n) => sum + roundUp(n) * maxRank, 0)
}

/** Elements of an adapter's places. */
export function loraSizes(shape: LoraShape): { down: number; up: number } {
  const parts = shape.widths.length
  return { down: parts * downSize(shape), up: upStart(shape, parts) }
}

/** An adapter's parts in the order in which the op addLora reads them; a part that is absent stays zero. */
export function packLora(
  shape: LoraShape,
  parts: readonly (LoraPart | undefined)[],
  dtype: DType,
): { down: TypedArray; up: TypedArray } {
  const { inputs, widths, maxRank } = shape
  const sizes = loraSizes(shape)
  const [down, up] = [new Float32Array(sizes.down), new Float32Array(sizes.up)]
  for (const [p, part] of parts.entries()) {
    if (!part) continue
    const { rank } = part
    if (rank > maxRank || part.down.length !== rank * inputs || part.up.length !== widths[p]! * rank)
      throw new SlipwayError('internal', `part ${p} of rank ${rank} does not fit [${inputs}] to [${widths}]`)
    const [d, u] = [p * downSize(shape), upStart(shape, p)]
    for (let j = 0; j < rank; j++) {
      const start = d + Math.floor(j / loraLanes) * inputs * loraLanes + (j % loraLanes)
      for (let k = 0; k < inputs; k++) down[start + k * loraLanes] = part.down[j * inputs + k]!
    }
    for (let n = 0; n < widths[p]!; n++) {
      const start = u + Math.floor(n / loraLanes) * rank * loraLanes + (n % loraLanes)
      for (let j = 0; j < rank; j++) up[start + j * loraLanes] = part.up[n * rank + j]!
    }
  }
  return { down: fromNumbers(dtype, down), up: fromNumbers(dtype, up) }
}
