/** What the live route tells, as far as the page shows it. */
export interface Snapshot {
  readonly time: number
  readonly stats: {
    readonly running: number
    readonly waiting: number
    readonly freeBlocks: number
    readonly cachedBlocks: number
    readonly ownedBlocks: number
    readonly totalBlocks: number
    readonly blockSize: number
    readonly numPreemptions: number
    readonly numQueriedTokens: number
    readonly numCachedTokens: number
    readonly numSteps: number
    readonly numComputedTokens: number
    readonly numGeneratedTokens: number
    readonly numFirstTokens: number
    readonly sumTimeToFirstToken: number
    readonly residentBytes: number
    /** Of engines that speculate only. */
    readonly numDraftTokens?: number
    readonly numAcceptedTokens?: number
  }
  readonly blocks: {
    readonly blocksPerCell: number
    readonly owned: readonly number[]
    readonly cached: readonly number[]
  }
  readonly sequences: readonly {
    readonly requestId: string
    readonly index: number
    readonly state: 'running' | 'waiting'
    readonly age: number
    readonly promptTokens: number
    readonly computedTokens: number
    readonly generatedTokens: number
    readonly blocks: number
  }[]
}

export interface Figures {
  /** Per second, over the last two. */
  readonly generated: number
  readonly prompt: number
  /** Milliseconds, mean of those in the last half minute, else of the last ones there were. */
  readonly timeToFirstToken: number | undefined
  /** Shares of 1. */
  readonly hitRate: number | undefined
  readonly acceptance: number | undefined
}

const rateWindow = 2000
const meanWindow = 30_000

/** Makes rates of counts. */
export class FigureHistory {
  readonly #snapshots: Snapshot[] = []
  #timeToFirstToken: number | undefined

  /** Generated tokens per second from snapshot to snapshot, the newest last. */
  readonly series: number[] = []

  push(snapshot: Snapshot): Figures {
    const list = this.#snapshots
    const last = list.at(-1)
    // counts that go back are those of another engine
    if (last && (snapshot.time < last.time || snapshot.stats.numSteps < last.stats.numSteps)) list.length = 0
    list.push(snapshot)
    while (list.length > 2 && list[1]!.time < snapshot.time - meanWindow) list.shift()
    const { stats } = snapshot
    const before = list.find(({ time }) => time >= snapshot.time - rateWindow - 100) ?? snapshot
    const seconds = (snapshot.time - before.time) / 1000
    const rate = (count: (stats: Snapshot['stats']) => number): number =>
      seconds > 0 ? (count(stats) - count(before.stats)) / seconds : 0
    const generated = rate((s) => s.numGeneratedTokens)
    // a generated token is computed when the next one is wanted; the first one comes of the prompt
    const prompt = Math.max(
      0,
      rate((s) => s.numComputedTokens - s.numGeneratedTokens + s.numFirstTokens),
    )
    this.series.push(generated)
    if (this.series.length > 120) this.series.shift()
    const numFirst = stats.numFirstTokens - list[0]!.stats.numFirstTokens
    if (numFirst > 0)
      this.#timeToFirstToken = (stats.sumTimeToFirstToken - list[0]!.stats.sumTimeToFirstToken) / numFirst
    else if (list.length === 1) this.#timeToFirstToken = shareOf(stats.sumTimeToFirstToken, stats.numFirstTokens)
    return {
      generated,
      prompt,
      timeToFirstToken: this.#timeToFirstToken,
      hitRate: shareOf(stats.numCachedTokens, stats.numQueriedTokens),
      acceptance: shareOf(stats.numAcceptedTokens, stats.numDraftTokens),
    }
  }
}

function shareOf(part: number | undefined, whole: number | undefined): number | undefined {
  return part === undefined || !whole ? undefined : part / whole
}

export function formatRate(perSecond: number): string {
  return perSecond >= 99.5 ? perSecond.toFixed(0) : perSecond.toFixed(1)
}

/** Milliseconds, for people. */
export function formatTime(milliseconds: number): string {
  if (milliseconds < 999.5) return `${milliseconds.toFixed(0)} ms`
  const seconds = milliseconds / 1000
  return seconds < 99.5 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`
}

export function formatShare(share: number): string {
  if (share > 0 && share < 0.0005) return '< 0.1 %'
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`
}
