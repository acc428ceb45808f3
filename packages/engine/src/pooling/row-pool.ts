import type { PoolingRequest } from './pooling-params.ts'

/** What a text came to: `rows` vectors of `cols` numbers; one row, or one for each token or step. */
export interface PooledValues {
  readonly values: Float32Array
  readonly rows: number
  readonly cols: number
  /** Whether rows are tokens, or steps; otherwise there is one for the text. */
  readonly isByToken: boolean
}

/**
 * Gathers the states of one text as its tokens are computed, in whatever chunks. Means are f64 sums in the order of the
 * tokens, so chunks change no bit.
 */
export class RowPool {
  readonly #request: PoolingRequest
  readonly #rows: Float32Array[] = []
  #sum: Float64Array | undefined
  #count = 0

  constructor(request: PoolingRequest) {
    this.#request = request
  }

  /** Of the tokens [start, end), the positions whose states are needed. */
  wanted(tokens: readonly number[], start: number, end: number): number[] {
    const { type, stepTagId } = this.#request
    if (type === 'cls') return start === 0 ? [0] : []
    if (type === 'last') return end === tokens.length ? [end - 1] : []
    const all = Array.from({ length: end - start }, (_, i) => start + i)
    return type === 'step' ? all.filter((position) => tokens[position] === stepTagId) : all
  }

  /** Takes the state of the next wanted position. */
  add(state: Float32Array): void {
    this.#count++
    if (this.#request.type !== 'mean') this.#rows.push(state.slice())
    else {
      this.#sum ??= new Float64Array(state.length)
      for (let c = 0; c < state.length; c++) this.#sum[c]! += state[c]!
    }
  }

  /** The pooled states. */
  rows(): readonly Float32Array[] {
    return this.#sum ? [Float32Array.from(this.#sum, (value) => value / this.#count)] : this.#rows
  }
}

/** What the request asks for, of pooled states or of the scores that the head made of them. f64 within. */
export function finishRow(row: Float32Array, request: PoolingRequest): Float32Array {
  const { dimensions, normalize, activation, returnedLabels } = request
  if (!request.usesHead) {
    const kept = row.subarray(0, dimensions)
    // zeros have no direction
    const length = normalize ? Math.max(Math.sqrt(kept.reduce((sum, x) => sum + x * x, 0)), 1e-12) : 1
    return kept.map((x) => x / length)
  }
  const scores = activate(row, activation)
  return returnedLabels ? Float32Array.from(returnedLabels, (label) => scores[label]!) : scores
}

function activate(row: Float32Array, activation: PoolingRequest['activation']): Float32Array {
  if (activation === 'none') return row
  if (activation === 'sigmoid') return row.map((x) => 1 / (1 + Math.exp(-x)))
  const highest = row.reduce((a, b) => Math.max(a, b), -Infinity)
  const weights = Float64Array.from(row, (x) => Math.exp(x - highest))
  const total = weights.reduce((a, b) => a + b, 0)
  return Float32Array.from(weights, (weight) => weight / total)
}
