import { byId, h, setText } from './dom.ts'
import { drawBlocks, drawSeries } from './engine-canvas.ts'
import { FigureHistory, formatRate, formatShare, formatTime, type Snapshot } from './figures.ts'

/** The live view of the engine. */
export class EngineView {
  readonly #history = new FigureHistory()
  readonly #map = byId<HTMLCanvasElement>('blocks')
  readonly #series = byId<HTMLCanvasElement>('series')
  #last: Snapshot | undefined

  constructor() {
    // colours and sizes are those of the moment
    const redraw = (): void => this.#draw()
    new ResizeObserver(redraw).observe(this.#map)
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)
    new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ['data-theme'] })
  }

  show(snapshot: Snapshot): void {
    this.#last = snapshot
    const { stats, blocks, sequences } = snapshot
    const figures = this.#history.push(snapshot)
    const put = (id: string, text: string): void => setText(byId(id), text)
    put('running', String(stats.running))
    put('queued', String(stats.waiting))
    put('rate', formatRate(figures.generated))
    put('prompt-rate', formatRate(figures.prompt))
    put('ttft', figures.timeToFirstToken === undefined ? '–' : formatTime(figures.timeToFirstToken))
    put('hits', figures.hitRate === undefined ? '–' : formatShare(figures.hitRate))
    byId('acceptance-tile').hidden = figures.acceptance === undefined
    put('acceptance', figures.acceptance === undefined ? '' : formatShare(figures.acceptance))
    put('owned', String(stats.ownedBlocks))
    put('cached', String(stats.cachedBlocks))
    put('free', String(stats.freeBlocks))
    const per = blocks.blocksPerCell === 1 ? 'one block' : `${blocks.blocksPerCell} blocks`
    put('block-note', `${stats.totalBlocks} blocks of ${stats.blockSize} tokens; a cell is ${per}.`)
    put(
      'engine-note',
      `${stats.numSteps} steps, ${stats.numPreemptions} preemptions, ${formatBytes(stats.residentBytes)} resident`,
    )
    const rows = sequences.map(({ requestId, index, state, age, promptTokens, generatedTokens, blocks }) =>
      h(
        'tr',
        { class: `is-${state}` },
        h(
          'td',
          { class: 'id', title: requestId },
          `${requestId.replace(/^\w+-/, '').slice(0, 6)}${index > 0 ? `.${index}` : ''}`,
        ),
        h('td', {}, state),
        h('td', {}, formatTime(age)),
        h('td', {}, `${promptTokens} + ${generatedTokens}`),
        h('td', {}, String(blocks)),
      ),
    )
    byId('sequences').replaceChildren(...rows)
    byId('no-sequences').hidden = rows.length > 0
    this.#draw()
  }

  #draw(): void {
    if (!this.#last) return
    const { stats, blocks } = this.#last
    const { ownedBlocks, cachedBlocks, freeBlocks, totalBlocks } = stats
    drawBlocks(this.#map, blocks, totalBlocks)
    this.#map.setAttribute('aria-label', `KV blocks: ${ownedBlocks} owned, ${cachedBlocks} cached, ${freeBlocks} free`)
    drawSeries(this.#series, this.#history.series)
  }
}

function formatBytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(0)} MB`
}
