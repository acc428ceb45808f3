import type { LanguageModel, ModelBatch } from '@slipway/models'
import type { Device, KvCache, Tensor } from '@slipway/tensor'
import type { Sequence } from '../sequence.ts'
import { layOut } from '../step-layout.ts'
import type { Chunk } from '../step-plan.ts'
import { finishRow, RowPool, type PooledValues } from './row-pool.ts'

export interface Pooled {
  readonly sequence: Sequence
  readonly pooled: PooledValues
}

/** Runs the part of a step whose texts are not to be continued: states instead of logits, pooled as each request says. */
export class Pooler {
  readonly #device: Device
  readonly #model: LanguageModel
  readonly #blockSize: number
  readonly #caches: readonly KvCache[]
  readonly #pools = new WeakMap<Sequence, RowPool>()

  constructor(device: Device, model: LanguageModel, blockSize: number, caches: readonly KvCache[]) {
    this.#device = device
    this.#model = model
    this.#blockSize = blockSize
    this.#caches = caches
  }

  /** Computes the chunks; returns the results of the sequences whose last token was among them. */
  async run(chunks: readonly Chunk[]): Promise<Pooled[]> {
    const wanted = chunks.map((chunk) => this.#wantedRows(chunk))
    const { batch, count } = this.#layOut(chunks, wanted)
    const states = this.#model.states(batch, this.#caches)
    await this.#device.run(states ? [states] : [])
    if (states) {
      const rows = rowsOf((await this.#device.read(states)) as Float32Array, count)
      for (const [i, { sequence }] of chunks.entries())
        for (const row of rows.splice(0, wanted[i]!.length)) this.#pools.get(sequence)!.add(row)
    }
    const complete = chunks.filter(({ sequence, numTokens }) => numTokens === sequence.numPending)
    return this.#finish(complete.map(({ sequence }) => sequence))
  }

  /** Positions of the chunk whose states are needed. A text that begins, or begins anew, is gathered from nothing. */
  #wantedRows({ sequence, numTokens }: Chunk): number[] {
    const { numComputed, tokens, request } = sequence
    let pool = this.#pools.get(sequence)
    if (!pool || numComputed === 0) this.#pools.set(sequence, (pool = new RowPool(request.pooling!)))
    return pool.wanted(tokens, numComputed, numComputed + numTokens)
  }

  #layOut(
    chunks: readonly Chunk[],
    wanted: readonly (readonly number[])[],
  ): { readonly batch: ModelBatch; readonly count: number } {
    const { ids, positions, sequences, slots, blockTables, width } = layOut(chunks, this.#blockSize)
    const ints = (values: readonly number[]): Tensor => this.#device.tensor(values, [values.length], 'i32')
    const ends = chunks.map(({ sequence }) => sequence.tokens.length - 1)
    const isCausal = this.#model.attention === 'causal'
    // the row of each wanted position, behind the rows of the chunks before
    const starts: number[] = []
    let numRows = 0
    for (const { numTokens } of chunks) {
      starts.push(numRows)
      numRows += numTokens
    }
    const rows = wanted.flatMap((list, i) => list.map((p) => starts[i]! + p - chunks[i]!.sequence.numComputed))
    const batch: ModelBatch = {
      ids: ints(ids),
      positions: ints(positions),
      sequences: ints(sequences),
      slots: ints(slots),
      blockTables: this.#device.tensor(blockTables, [chunks.length, width], 'i32'),
      logits:
        rows.length === 0
          ? undefined
          : {
              rows: ints(rows),
              positions: ints(rows.map((r) => (isCausal ? positions[r]! : ends[sequences[r]!]!))),
              sequences: ints(rows.map((r) => sequences[r]!)),
            },
      ...(!isCausal && {
        ends: ints(sequences.map((s) => ends[s]!)),
        typeIds: ints(
          ids.map((_, r) => chunks[sequences[r]!]!.sequence.request.pooling!.typeIds?.[positions[r]!] ?? 0),
        ),
      }),
    }
    return { batch, count: rows.length }
  }

  async #finish(sequences: readonly Sequence[]): Promise<Pooled[]> {
    const pooled = sequences.map((sequence) => this.#pools.get(sequence)!.rows())
    const withHead = sequences.flatMap(({ request }, i) => (request.pooling!.usesHead ? pooled[i]! : []))
    const scores = withHead.length > 0 ? await this.#applyHead(withHead) : []
    return sequences.map((sequence, i) => {
      const request = sequence.request.pooling!
      const own = request.usesHead ? scores.splice(0, pooled[i]!.length) : pooled[i]!
      const finished = own.map((row) => finishRow(row, request))
      const cols = finished[0]?.length ?? 0
      const values = new Float32Array(finished.length * cols)
      for (const [r, row] of finished.entries()) values.set(row, r * cols)
      const isByToken = request.type === 'all' || request.type === 'step'
      return { sequence, pooled: { values, rows: finished.length, cols, isByToken } }
    })
  }

  async #applyHead(rows: readonly Float32Array[]): Promise<Float32Array[]> {
    const width = rows[0]!.length
    const all = new Float32Array(rows.length * width)
    for (const [r, row] of rows.entries()) all.set(row, r * width)
    const scores = this.#model.head!.apply(this.#device.tensor(all, [rows.length, width], 'f32'))
    await this.#device.run([scores])
    return rowsOf((await this.#device.read(scores)) as Float32Array, rows.length)
  }
}

function rowsOf(values: Float32Array, count: number): Float32Array[] {
  const width = values.length / count
  return Array.from({ length: count }, (_, r) => values.subarray(r * width, (r + 1) * width))
}
