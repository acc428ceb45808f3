import { expectInput, expectShape, type Attributes, type HostTensor, type Op } from '../op.ts'
import { colsOf, rowsOf, type Tensor } from '../tensor.ts'
import { bytesOf, type DType } from '../dtype.ts'
import type { View } from '../view.ts'
import { downSize, loraLanes, loraSizes, maxLoraParts, packLora, upStart, type LoraShape } from './lora-layout.ts'
import { CaseRandom, given } from './random.ts'

/** The adapters of a product: S places, each for one adapter or none. */
export interface LoraTable {
  readonly shape: LoraShape
  /** [S, size], in the order of `packLora`. */
  readonly down: Tensor
  readonly up: Tensor
  /** i32 [S, P]: rank of each part; 0 leaves its outputs as they are. */
  readonly ranks: Tensor
  /** f32 [S, P]. */
  readonly scales: Tensor
}

/**
 * Adds to row r of a product's results y [R, N], in place, what the adapter ids[r] makes of x [R, K]: for every part
 * scale * up (down x), each product summed in f32 by ascending index. Id -1 leaves a row as it is. Hu et al. 2021.
 * Places that no row names are not read.
 */
export const addLoraOp: Op = {
  name: 'addLora',
  inputs: ['y', 'x', 'ids', 'down', 'up', 'ranks', 'scales'],
  attributes: ['maxRank', 'width0', 'width1', 'width2'],
  rowInputs: [0, 1, 2],
  updates: [0],
  tolerance: { absolute: 1e-4, relative: 1e-4 },
  infer([y, x, ids, down, up, ranks, scales], attributes) {
    const out = expectInput('addLora', y, 'y', 2, 'f32')
    const a = expectInput('addLora', x, 'x', 2, 'f32')
    const i = expectInput('addLora', ids, 'ids', 1, 'i32')
    const d = expectInput('addLora', down, 'down', 2, 'f32', 'bf16', 'f16')
    const u = expectInput('addLora', up, 'up', 2, d.dtype)
    const r = expectInput('addLora', ranks, 'ranks', 2, 'i32')
    const s = expectInput('addLora', scales, 'scales', 2, 'f32')
    const rows = rowsOf(out)
    const shape = shapeOf(colsOf(a), attributes)
    const sizes = loraSizes(shape)
    const width = shape.widths.reduce((sum, n) => sum + n, 0)
    expectShape(
      'addLora',
      rowsOf(a) === rows && colsOf(i) === rows,
      () => `y [${out.shape}], x [${a.shape}], ids [${i.shape}]`,
    )
    expectShape('addLora', colsOf(out) === width, () => `y is [${out.shape}], the parts are [${shape.widths}]`)
    expectShape(
      'addLora',
      colsOf(d) === sizes.down && colsOf(u) === sizes.up && rowsOf(u) === rowsOf(d),
      () => `down [${d.shape}] and up [${u.shape}] of parts [${shape.widths}]`,
    )
    for (const { shape: table } of [r, s])
      expectShape(
        'addLora',
        table[0] === rowsOf(d) && table[1] === shape.widths.length,
        () => `a table of [${table}] for ${rowsOf(d)} places`,
      )
    return []
  },
  reference([y, x, ids, down, up, ranks, scales], _outputs, attributes) {
    const shape = shapeOf(x!.cols, attributes)
    for (let r = 0; r < y!.rows; r++) {
      const id = ids!.item(r)
      if (id < 0) continue
      const row = x!.row(r)
      let first = 0
      for (const [p, width] of shape.widths.entries()) {
        const rank = ranks!.at(id, p)
        const hidden = Array.from({ length: rank }, (_, j) => downAt(shape, p, j, row, down!, id))
        for (let n = 0; n < width; n++) {
          const start = upStart(shape, p) + Math.floor(n / loraLanes) * rank * loraLanes + (n % loraLanes)
          const sum = hidden.reduce((total, h, j) => total + h * up!.at(id, start + j * loraLanes), 0)
          y!.set(r, first + n, y!.at(r, first + n) + scales!.at(id, p) * sum)
        }
        first += width
      }
    }
  },
  cost([y, x, , down], _outputs, { maxRank }, values) {
    const rows = rowsOf(y!)
    const used = values?.[2] ? new Set(Array.from(values[2]).filter((id) => id >= 0)).size : rows
    const elements = (colsOf(x!) + colsOf(y!)) * maxRank!
    return { flops: 2 * rows * elements, bytes: Math.min(used, rowsOf(down!)) * elements * bytesOf(down!.dtype) }
  },
  cases() {
    const random = new CaseRandom(23)
    return sizes.flatMap((size, i) => (['f32', 'bf16', 'f16'] as const).map((dtype) => caseOf(random, size, dtype, i)))
  },
}

function shapeOf(inputs: number, attributes: Attributes): LoraShape {
  const widths = Array.from({ length: maxLoraParts }, (_, p) => attributes[`width${p}`]!).filter((n) => n > 0)
  return { inputs, widths, maxRank: attributes['maxRank']! }
}

/** Element j of what part `p` makes of a row before `up`, rounded to f32 as it passes through memory. */
function downAt(shape: LoraShape, p: number, j: number, row: Float64Array, down: View, id: number): number {
  const start = p * downSize(shape) + Math.floor(j / loraLanes) * shape.inputs * loraLanes + (j % loraLanes)
  return Math.fround(row.reduce((sum, value, k) => sum + value * down.at(id, start + k * loraLanes), 0))
}

interface CaseSize extends LoraShape {
  readonly rows: number
  readonly places: number
}

const sizes: readonly CaseSize[] = [
  { rows: 1, places: 1, inputs: 1, widths: [1], maxRank: 1 },
  { rows: 1, places: 4, inputs: 64, widths: [96, 32, 32], maxRank: 16 },
  { rows: 3, places: 2, inputs: 33, widths: [17, 5], maxRank: 8 },
  { rows: 8, places: 8, inputs: 72, widths: [40], maxRank: 33 },
  { rows: 29, places: 3, inputs: 104, widths: [70, 19, 64], maxRank: 20 },
  { rows: 70, places: 5, inputs: 130, widths: [48, 48], maxRank: 16 },
]

function caseOf(random: CaseRandom, { rows, places, ...shape }: CaseSize, dtype: DType, turn: number) {
  const { inputs, widths, maxRank } = shape
  // one place of full rank, others of any, some parts without
  const ranks = Array.from({ length: places }, (_, s) =>
    widths.map(() => (s === 0 ? maxRank : Math.floor(random.next() * (maxRank + 1)))),
  )
  const packed = ranks.map((row) => {
    const parts = row.map((rank, p) => ({
      rank,
      down: random.normal([rank, inputs]).data,
      up: random.normal([widths[p]!, rank], 'f32', 0.2).data,
    }))
    return packLora(shape, parts, dtype)
  })
  const stack = (key: 'down' | 'up'): HostTensor => {
    const width = packed[0]![key].length
    const data = packed[0]![key].slice(0, 0).constructor as new (length: number) => HostTensor['data']
    const all = new data(places * width)
    for (const [s, place] of packed.entries()) all.set(place[key], s * width)
    return { shape: [places, width], dtype, data: all }
  }
  // every third row has no adapter, where there are enough
  const ids = Array.from({ length: rows }, (_, r) => (r % 3 === 2 ? -1 : Math.floor(random.next() * places)))
  return {
    label: `${rows}x${inputs} to ${widths.join('+')}, ${places} adapters of rank ${maxRank} at most ${dtype}, ${turn}`,
    inputs: [
      random.normal([rows, widths.reduce((sum, n) => sum + n, 0)]),
      random.normal([rows, inputs]),
      given(ids, [rows], 'i32'),
      stack('down'),
      stack('up'),
      given(ranks.flat(), [places, widths.length], 'i32'),
      random.normal([places, widths.length]),
    ],
    attributes: loraAttributes(shape),
  }
}

function loraAttributes({ maxRank, widths }: LoraShape): Attributes {
  return { maxRank, width0: widths[0]!, width1: widths[1] ?? 0, width2: widths[2] ?? 0 }
}

/** Adds each row's adapter to a product's results `y`; `x` is what the product multiplied. */
export function addLora(y: Tensor, x: Tensor, ids: Tensor, { shape, down, up, ranks, scales }: LoraTable): void {
  y.device.record(addLoraOp, [y, x, ids, down, up, ranks, scales], loraAttributes(shape))
}
