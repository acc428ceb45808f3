import { setTimeout as after } from 'node:timers/promises'
import type { LateChunks } from './packed-cache.ts'
import { chunkBytes } from './packed-file.ts'
import type { LateRows } from './weight-loader.ts'

/** Read between two looks at what else there is to do, about as much as a thread reads in half a millisecond. */
const turnChunks = 2
/** Milliseconds before the first turn, which leave the processor to the first request, and between two. */
const firstPause = 50
const pause = 2

/** Where the rows of a weight lie in its piece of memory, in panels of so many rows. */
export interface PanelPlace {
  readonly offset: number
  readonly panelBytes: number
  readonly panelRows: number
}

/** Chunks of a kept file that hold the rows of one weight, read when a row is needed, and the rest little by little. */
export class LateChunkRows implements LateRows {
  readonly #chunks: LateChunks
  readonly #place: PanelPlace
  readonly #repair: () => void
  readonly complete: Promise<void>

  /** `repair` fills the whole weight otherwise when the file turns out to be damaged. */
  constructor(chunks: LateChunks, place: PanelPlace, repair: () => void) {
    this.#chunks = chunks
    this.#place = place
    this.#repair = repair
    this.complete = this.#readRest().finally(() => chunks.close())
  }

  get isPending(): boolean {
    return this.#chunks.left.size > 0
  }

  need(ids: readonly number[]): void {
    const { left } = this.#chunks
    const { offset, panelBytes, panelRows } = this.#place
    const wanted = new Set<number>()
    for (const id of ids) {
      const start = offset + Math.floor(id / panelRows) * panelBytes
      for (let place = start - (start % chunkBytes); place < start + panelBytes; place += chunkBytes)
        if (left.has(place)) wanted.add(place)
    }
    if (wanted.size > 0) this.#read([...wanted])
  }

  /** Gives up what is left. */
  cancel(): void {
    this.#chunks.left.clear()
  }

  #read(places: readonly number[]): void {
    if (this.#chunks.read(places)) return
    this.#repair()
    this.cancel()
  }

  async #readRest(): Promise<void> {
    const { left } = this.#chunks
    try {
      // a thread that has nothing else to do any more may end
      const idle = (ms: number): Promise<void> => after(ms, undefined, { ref: false })
      for (await idle(firstPause); left.size > 0; await idle(pause)) this.#read([...left.keys()].slice(0, turnChunks))
    } catch {
      // whoever needs a row is told
    }
  }
}
