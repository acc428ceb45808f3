import { figure, tableLines } from '../table.ts'
import { latencies, type LoadFigures, type Spread } from './figures.ts'

const columns = ['mean', 'median', 'p90', 'p99'] as const satisfies readonly (keyof Spread)[]

/** For the terminal. */
export function loadReport(title: string, figures: LoadFigures): string {
  const { numRequests, numFailed, duration, promptTokens, newTokens, goodput } = figures
  return [
    title,
    `${numRequests} requests, ${numFailed} failed, in ${duration.toFixed(1)} s; ${promptTokens} prompt and ${newTokens} new tokens`,
    '',
    ...tableLines([
      ['ms', ...columns],
      ...latencies.map((name) => [name.toUpperCase(), ...columns.map((column) => cell(figures[name], column))]),
    ]),
    '',
    `${figure(figures.requestsPerSecond)} requests/s, ${figure(figures.newTokensPerSecond)} new tok/s, ${figure(figures.tokensPerSecond)} tok/s with prompts`,
    ...(goodput === null ? [] : [`goodput ${figure(goodput)} requests/s`]),
  ].join('\n')
}

function cell(spread: Spread | null, column: keyof Spread): string {
  return spread === null ? '-' : figure(spread[column])
}

const [width, labelWidth, barHeight, gap] = [640, 70, 14, 10]
// told apart also by those who do not see red and green as two colours
const colours = { median: '#2563a8', p90: '#e08a1e', p99: '#7a7a7a' } as const

/** The latencies as a drawing: a group of bars for each, with a scale of its own. */
export function loadChart(title: string, figures: LoadFigures): string {
  const shares = Object.entries(colours) as [keyof typeof colours, string][]
  const text = (x: number, y: number, content: string, attributes = ''): string =>
    `<text x="${x}" y="${y}" ${attributes}>${content.replaceAll('&', '&amp;').replaceAll('<', '&lt;')}</text>`
  const rect = (x: number, y: number, length: number, colour: string): string =>
    `<rect x="${x}" y="${y}" width="${length.toFixed(1)}" height="${barHeight - 2}" fill="${colour}"/>`
  const rates = `${figure(figures.requestsPerSecond)} requests/s, ${figure(figures.newTokensPerSecond)} new tokens/s`
  const parts = [text(8, 20, title, 'font-weight="bold"'), text(8, 38, rates)]
  shares.forEach(([name, colour], i) => {
    parts.push(rect(labelWidth + 90 * i, 48, 12, colour), text(labelWidth + 90 * i + 18, 58, name))
  })
  let y = 72
  for (const name of latencies) {
    const spread = figures[name]
    if (spread === null) continue
    const most = Math.max(...shares.map(([share]) => spread[share]), Number.MIN_VALUE)
    parts.push(text(8, y + 1.5 * barHeight + 4, name.toUpperCase()))
    for (const [share, colour] of shares) {
      const length = ((width - labelWidth - 100) * spread[share]) / most
      parts.push(rect(labelWidth, y, length, colour))
      parts.push(text(Math.round(labelWidth + length + 6), y + 11, `${figure(spread[share])} ms`))
      y += barHeight
    }
    y += gap
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${y}" fill="#ffffff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}
