import type { Snapshot } from './figures.ts'

/** A canvas as large as it is shown, in the pixels of the screen, and the colours of the theme. */
function prepare(canvas: HTMLCanvasElement): {
  pen: CanvasRenderingContext2D
  width: number
  height: number
  color: (name: string) => string
} {
  const { clientWidth: width, clientHeight: height } = canvas
  canvas.width = Math.round(width * devicePixelRatio)
  canvas.height = Math.round(height * devicePixelRatio)
  const pen = canvas.getContext('2d')!
  pen.scale(devicePixelRatio, devicePixelRatio)
  pen.clearRect(0, 0, width, height)
  // `light-dark()` is resolved in real properties only
  const probe = canvas.style
  const color = (name: string): string => {
    probe.color = `var(--${name})`
    return getComputedStyle(canvas).color
  }
  return { pen, width, height, color }
}

/** The least part of a cell that is filled when anything of it is used: otherwise large cells would never show it. */
const leastFill = 0.3

/** Each cell filled from below: owned blocks, then cached ones on top. */
export function drawBlocks(
  canvas: HTMLCanvasElement,
  { blocksPerCell, owned, cached }: Snapshot['blocks'],
  total: number,
): void {
  const { pen, width, height, color } = prepare(canvas)
  const gap = 1
  let columns = 1
  while (cellSize(columns, width) > 14 || Math.ceil(owned.length / columns) * cellSize(columns, width) > height)
    columns++
  const pitch = cellSize(columns, width)
  const size = Math.max(1, pitch - gap)
  const [freeColor, cachedColor, ownedColor] = ['block-free', 'block-cached', 'block-owned'].map(color)
  for (const [cell, numOwned] of owned.entries()) {
    const x = (cell % columns) * pitch
    const y = Math.floor(cell / columns) * pitch
    const count = Math.min(blocksPerCell, total - cell * blocksPerCell)
    const share = (blocks: number): number => (blocks === 0 ? 0 : Math.max(leastFill, blocks / count))
    const ownedPart = share(numOwned)
    const cachedPart = Math.min(share(cached[cell]!), 1 - ownedPart)
    pen.fillStyle = freeColor!
    pen.fillRect(x, y, size, size)
    pen.fillStyle = cachedColor!
    pen.fillRect(x, y + size * (1 - ownedPart - cachedPart), size, size * cachedPart)
    pen.fillStyle = ownedColor!
    pen.fillRect(x, y + size * (1 - ownedPart), size, size * ownedPart)
  }
}

function cellSize(columns: number, width: number): number {
  return width / columns
}

/** The last minute as a line over a faint area. */
export function drawSeries(canvas: HTMLCanvasElement, series: readonly number[]): void {
  const { pen, width, height, color } = prepare(canvas)
  const top = Math.max(1, ...series) * 1.1
  const numPoints = 120
  const x = (i: number): number => ((numPoints - series.length + i) / (numPoints - 1)) * width
  const y = (value: number): number => height - 1 - (value / top) * (height - 3)
  pen.beginPath()
  for (const [i, value] of series.entries()) pen.lineTo(x(i), y(value))
  pen.strokeStyle = color('accent')
  pen.lineWidth = 1.5
  pen.stroke()
  pen.lineTo(width, height)
  pen.lineTo(x(0), height)
  pen.fillStyle = color('accent-faint')
  pen.fill()
}
