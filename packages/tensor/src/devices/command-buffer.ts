import { bytesOf, dtypes, type DType } from '../dtype.ts'
import type { Op } from '../op.ts'
import type { Program } from '../program.ts'
import { colsOf, layouts, rowsOf, type Layout, type Tensor } from '../tensor.ts'

const headerWords = 4
const tensorWords = 10

const dtypeCodes = Object.fromEntries(dtypes.map((dtype, code) => [dtype, code])) as Readonly<Record<DType, number>>

const layoutCodes = Object.fromEntries(layouts.map((layout, code) => [layout, code])) as Readonly<
  Record<Layout, number>
>

/** Programs as native/command.h describes them: one array of doubles, reused from run to run. */
export class CommandBuffer {
  words = new Float64Array(1024)
  length = 0
  readonly #codes: ReadonlyMap<string, number>

  /** `ops` are the names of the native kernels in the order of their codes. */
  constructor(ops: readonly string[]) {
    this.#codes = new Map(ops.map((name, code) => [name, code]))
  }

  has(op: Op): boolean {
    return this.#codes.has(op.name)
  }

  /** `addressOf` gives the first byte of a tensor's base. */
  encode(program: Program, addressOf: (base: Tensor) => number): void {
    this.#reserve(program)
    let at = 0
    const words = this.words
    const put = (tensor: Tensor | undefined): void => {
      if (tensor) {
        const { shape } = tensor
        words[at] = addressOf(tensor.base) + tensor.offset * bytesOf(tensor.dtype)
        words[at + 1] = dtypeCodes[tensor.dtype]
        words[at + 2] = layoutCodes[tensor.layout]
        words[at + 3] = shape.length
        for (let i = 0; i < 3; i++) words[at + 4 + i] = shape[i] ?? 1
        words[at + 7] = rowsOf(tensor)
        words[at + 8] = colsOf(tensor)
        words[at + 9] = tensor.rowStride
      } else {
        words.fill(0, at, at + tensorWords)
      }
      at += tensorWords
    }
    for (const [i, { op, inputs, outputs, attributes }] of program.steps.entries()) {
      words[at++] = this.#codes.get(op.name)!
      words[at++] = program.barriers[i] ? 1 : 0
      words[at++] = inputs.length + outputs.length
      words[at++] = op.attributes.length
      for (const tensor of inputs) put(tensor)
      for (const tensor of outputs) put(tensor)
      for (const name of op.attributes) words[at++] = attributes[name]!
    }
    this.length = at
  }

  #reserve({ steps }: Program): void {
    let needed = 0
    for (const { op, inputs, outputs } of steps)
      needed += headerWords + (inputs.length + outputs.length) * tensorWords + op.attributes.length
    if (needed > this.words.length) this.words = new Float64Array(needed * 2)
  }
}
