// @ts-check
import { figure } from './report.mjs'

/** @typedef {import('./harness.mjs').Result} Result */

const width = 760
const labelWidth = 150
const barHeight = 16
const titleHeight = 34
const groupGap = 8
const barWidth = width - labelWidth - 90
// told apart also by those who do not see red and green as two colours
const colours = ['#2563a8', '#e08a1e', '#7a7a7a']

/** @param {string} text */
const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')

/**
 * @param {number} x
 * @param {number} y
 * @param {string} text
 * @param {string} [attributes]
 */
const label = (x, y, text, attributes = '') => `<text x="${x}" y="${y}" ${attributes}>${escape(text)}</text>`

/**
 * One panel for each result, one group of bars for each of its cases.
 *
 * @param {readonly Result[]} results
 */
export function barChart(results) {
  const names = [...new Set(results.flatMap(({ contestants }) => contestants.map(({ name }) => name)))]
  /** @type {string[]} */
  const parts = []
  let y = 28
  for (const [i, name] of names.entries()) {
    const x = labelWidth + 170 * i
    parts.push(`<rect x="${x}" y="10" width="12" height="12" fill="${colours[i % colours.length]}"/>`)
    parts.push(label(x + 18, 20, name))
  }
  for (const result of results) {
    const unit = ['s', 'ms', '%'].includes(result.unit) ? `${result.unit}, less is better` : result.unit
    const title = [result.bench, result.shape, unit].filter(Boolean).join(', ')
    parts.push(label(8, y + 20, title, 'font-weight="bold"'))
    y += titleHeight
    const longest = Math.max(...result.cases.flatMap(({ medians }) => Object.values(medians)))
    for (const { label: text, medians } of result.cases) {
      // rows that name their own units have nothing in common
      const most = result.unit ? longest : Math.max(...Object.values(medians))
      const bars = names.filter((name) => name in medians)
      parts.push(label(labelWidth - 8, y + (bars.length * barHeight) / 2 + 4, text, 'text-anchor="end"'))
      for (const name of bars) {
        const length = (barWidth * Math.max(0, medians[name])) / most
        const colour = colours[names.indexOf(name) % colours.length]
        parts.push(
          `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight - 2}" fill="${colour}"/>`,
          label(Math.round(labelWidth + length + 6), y + 12, figure(medians[name])),
        )
        y += barHeight
      }
      y += groupGap
    }
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y + 8}" font-family="sans-serif" font-size="12">`,
    `<rect width="${width}" height="${y + 8}" fill="#ffffff"/>`,
    ...parts,
    '</svg>',
    '',
  ].join('\n')
}
