import { bytesOf } from './dtype.ts'
import type { Attributes, Op } from './op.ts'
import { byteLengthOf, colsOf, rowsOf, sizeOf, type Tensor } from './tensor.ts'

/** One recorded op. */
export interface Step {
  readonly op: Op
  readonly inputs: readonly (Tensor | undefined)[]
  readonly outputs: readonly Tensor[]
  readonly attributes: Attributes
}

/**
 * The ops recorded since the last run, in order, with a place in one arena for every intermediate result.
 * A program is plain data: devices run it, profile it, count it.
 */
export interface Program {
  readonly steps: readonly Step[]
  /** True where a step must wait for the steps before it: it reads what they write, or writes what they touch. */
  readonly barriers: readonly boolean[]
  /** Byte offset in the arena of every intermediate; tensors with own storage are absent. */
  readonly placement: ReadonlyMap<Tensor, number>
  readonly arenaBytes: number
}

const alignment = 64

/** Places every intermediate by liveness: memory is taken at the first write and given back after the last use. */
export function plan(steps: readonly Step[]): Program {
  const lastUse = new Map<Tensor, number>()
  for (const [i, step] of steps.entries()) {
    for (const tensor of step.outputs) lastUse.set(tensor.base, i)
    for (const tensor of step.inputs) if (tensor) lastUse.set(tensor.base, i)
  }
  const endingAt: Tensor[][] = steps.map(() => [])
  for (const [tensor, i] of lastUse) if (!tensor.storage) endingAt[i]!.push(tensor)

  const arena = new Arena()
  const placement = new Map<Tensor, number>()
  for (const [i, step] of steps.entries()) {
    for (const tensor of step.outputs) if (!tensor.storage) placement.set(tensor, arena.take(alignedBytes(tensor)))
    for (const tensor of endingAt[i]!) arena.give(placement.get(tensor)!, alignedBytes(tensor))
  }
  return { steps, barriers: findBarriers(steps, placement), placement, arenaBytes: arena.size }
}

function alignedBytes(tensor: Tensor): number {
  return Math.max(1, Math.ceil(byteLengthOf(tensor) / alignment)) * alignment
}

/** First-fit free list; neighbours are merged. Sizes are multiples of the alignment. */
class Arena {
  size = 0
  readonly #free: { start: number; end: number }[] = []

  take(bytes: number): number {
    const i = this.#free.findIndex((hole) => hole.end - hole.start >= bytes)
    if (i >= 0) {
      const hole = this.#free[i]!
      const start = hole.start
      hole.start += bytes
      if (hole.start === hole.end) this.#free.splice(i, 1)
      return start
    }
    const last = this.#free.at(-1)
    if (last?.end === this.size) {
      this.#free.pop()
      this.size = last.start + bytes
      return last.start
    }
    this.size += bytes
    return this.size - bytes
  }

  give(start: number, bytes: number): void {
    let i = this.#free.findIndex((hole) => hole.start > start)
    if (i < 0) i = this.#free.length
    this.#free.splice(i, 0, { start, end: start + bytes })
    for (const j of [i, i - 1]) {
      const a = this.#free[j]
      const b = this.#free[j + 1]
      if (a && b && a.end === b.start) {
        a.end = b.end
        this.#free.splice(j + 1, 1)
      }
    }
  }
}

/** Bytes that a step touches: in the arena (memory undefined) or in a storage. */
interface Range {
  readonly memory: object | undefined
  readonly start: number
  readonly end: number
}

function findBarriers(steps: readonly Step[], placement: ReadonlyMap<Tensor, number>): boolean[] {
  const rangeOf = (tensor: Tensor): Range => {
    const size = bytesOf(tensor.dtype)
    const begin = (placement.get(tensor.base) ?? 0) + tensor.offset * size
    const span = sizeOf(tensor) === 0 ? 0 : (rowsOf(tensor) - 1) * tensor.rowStride + colsOf(tensor)
    return { memory: tensor.base.storage, start: begin, end: begin + span * size }
  }
  // what was touched since the last barrier: a few ranges, since most steps depend on the one before
  const written: Range[] = []
  const read: Range[] = []
  return steps.map((step) => {
    const reads: Range[] = []
    for (const tensor of step.inputs) if (tensor) reads.push(rangeOf(tensor))
    const writes = step.outputs.map(rangeOf)
    for (const i of step.op.updates ?? []) if (step.inputs[i]) writes.push(rangeOf(step.inputs[i]))
    const barrier = meet(reads, written) || meet(writes, written) || meet(writes, read)
    if (barrier) written.length = read.length = 0
    written.push(...writes)
    read.push(...reads)
    return barrier
  })
}

function meet(a: readonly Range[], b: readonly Range[]): boolean {
  return a.some((x) => b.some((y) => x.memory === y.memory && x.start < y.end && y.start < x.end))
}
