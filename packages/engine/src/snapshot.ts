import type { BlockMap, BlockPool } from './block-pool.ts'
import type { EngineStats } from './engine.ts'
import type { Sequence } from './sequence.ts'

/** One sequence at one moment. Nothing of its text. */
export interface SequenceState {
  readonly requestId: string
  readonly index: number
  readonly state: 'running' | 'waiting'
  /** Milliseconds since it came. */
  readonly age: number
  readonly promptTokens: number
  /** Tokens whose keys and values are there, cached ones included. */
  readonly computedTokens: number
  readonly generatedTokens: number
  readonly blocks: number
}

/** What the engine does at one moment. */
export interface EngineSnapshot {
  /** Milliseconds of the engine's clock, to make rates of the counts in `stats`. */
  readonly time: number
  readonly stats: EngineStats
  readonly blocks: BlockMap
  /** The first of those that run, then of those that wait: `stats` counts them all. */
  readonly sequences: readonly SequenceState[]
}

const maxSequences = 64
const maxCells = 1024

/** Made on demand only; a few microseconds for each thousand blocks, and a few kilobytes whatever there is. */
export function snapshotOf({
  time,
  stats,
  pool,
  running,
  waiting,
}: {
  readonly time: number
  readonly stats: EngineStats
  readonly pool: BlockPool
  readonly running: readonly Sequence[]
  readonly waiting: Iterable<Sequence>
}): EngineSnapshot {
  const sequences: SequenceState[] = []
  const list = (some: Iterable<Sequence>, state: SequenceState['state']): void => {
    for (const sequence of some) {
      if (sequences.length === maxSequences) return
      sequences.push(stateOf(sequence, state, time))
    }
  }
  list(running, 'running')
  list(waiting, 'waiting')
  return { time, stats, blocks: pool.map(maxCells), sequences }
}

function stateOf(sequence: Sequence, state: SequenceState['state'], time: number): SequenceState {
  const { request, index, addedAt, numComputed, numGenerated, blocks } = sequence
  return {
    requestId: request.requestId,
    index,
    state,
    age: time - addedAt,
    promptTokens: request.promptTokenIds.length,
    computedTokens: numComputed,
    generatedTokens: numGenerated,
    blocks: blocks.length,
  }
}
