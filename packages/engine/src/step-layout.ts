import { isDecoding, type Chunk } from './step-plan.ts'
import type { Sequence } from './sequence.ts'

/** The rows of a step as numbers; names as in ModelBatch. */
export interface StepLayout {
  /** Whether every sequence gets a token behind few others of its own. */
  readonly isDecode: boolean
  readonly ids: readonly number[]
  readonly positions: readonly number[]
  readonly sequences: readonly number[]
  readonly slots: readonly number[]
  /** Blocks of each sequence, `width` per row. */
  readonly blockTables: Int32Array
  readonly width: number
  /** The last row of every sequence that gets a token. */
  readonly logitRows: readonly number[]
  /** Place of each row's adapter, -1 without; undefined when no row has one. */
  readonly adapters: readonly number[] | undefined
  /** Rows of prompts whose log-probabilities are wanted: those of `target` for the sequence. */
  readonly promptRows: readonly { readonly row: number; readonly target: number; readonly sequence: Sequence }[]
  /** Positions for rotation, where some sequence counts them otherwise than `positions`. */
  readonly ropePositions: readonly number[] | undefined
}

/** Where the key and value of a sequence's token at place `p` are kept. */
export function slotOf({ blocks }: Sequence, p: number, blockSize: number): number {
  return blocks[Math.floor(p / blockSize)]! * blockSize + (p % blockSize)
}

export function layOut(chunks: readonly Chunk[], blockSize: number): StepLayout {
  const ids: number[] = []
  const positions: number[] = []
  const sequences: number[] = []
  const slots: number[] = []
  const logitRows: number[] = []
  const adapters: number[] = []
  const promptRows: StepLayout['promptRows'][number][] = []
  const ropePositions: number[] = []
  const width = Math.max(...chunks.map(({ sequence }) => sequence.blocks.length))
  const blockTables = new Int32Array(chunks.length * width)
  for (const [s, { sequence, numTokens }] of chunks.entries()) {
    const { tokens, blocks, numComputed, needsPromptRows, promptLogprobs } = sequence
    const numPromptRows = sequence.request.promptTokenIds.length - 1
    blockTables.set(blocks, s * width)
    for (let p = numComputed; p < numComputed + numTokens; p++) {
      ids.push(tokens[p]!)
      positions.push(p)
      sequences.push(s)
      adapters.push(sequence.adapter?.place ?? -1)
      ropePositions.push(p - sequence.positionShift)
      slots.push(slotOf(sequence, p, blockSize))
      // after a preemption some are known
      const place = p - sequence.numGiven
      if (needsPromptRows && place >= promptLogprobs.length && place < numPromptRows)
        promptRows.push({ row: ids.length - 1, target: tokens[p + 1]!, sequence })
    }
    if (numTokens === sequence.numPending) logitRows.push(ids.length - 1)
  }
  const withAdapters = adapters.some((place) => place >= 0) ? adapters : undefined
  const withShift = chunks.some(({ sequence }) => sequence.positionShift > 0) ? ropePositions : undefined
  const isDecode =
    logitRows.length === chunks.length &&
    promptRows.length === 0 &&
    chunks.every(({ sequence, numTokens }) => numTokens === 1 || isDecoding(sequence))
  const common = { isDecode, ids, positions, sequences, slots, blockTables, width, logitRows, promptRows }
  return { ...common, adapters: withAdapters, ropePositions: withShift }
}

/** Inputs of the op sample as numbers: parameters [L, 5], seeds [L, 2], places [L]. */
export interface SamplingLayout {
  readonly params: readonly number[]
  readonly seeds: readonly number[]
  readonly places: readonly number[]
}

export function samplingOf(sequences: readonly Sequence[]): SamplingLayout {
  return {
    params: sequences.flatMap(({ request: { params } }) => [
      params.temperature,
      Math.max(0, params.topK),
      params.topP,
      params.minP,
      params.typicalP,
    ]),
    seeds: sequences.flatMap(({ seedWords }) => seedWords),
    // the place in the text, so that a draw does not depend on how the sequence got there
    places: sequences.map((s) => s.tokens.length),
  }
}
