// @ts-check
// Makes docs/benchmarks.md and its chart from result files: node bench/chart.mjs results/*.json
import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { barChart } from './lib/bar-chart.mjs'
import { refuse } from './lib/options.mjs'
import { notesOf, tableOf, titleOf } from './lib/report.mjs'

/** @typedef {import('./lib/harness.mjs').Result} Result */

const files = process.argv.slice(2)
if (files.length === 0) refuse('node bench/chart.mjs FILE...: give result files, as --json writes them')
/** @type {Result[]} */
const results = await Promise.all(files.map(async (file) => JSON.parse(await readFile(file, 'utf8'))))
const order = [
  'prefill',
  'decode',
  'overhead',
  'batch',
  'lora',
  'depth',
  'load',
  'serve',
  'stall',
  'shared-prefix',
  'structured',
  'front',
  'streams',
]
results.sort((a, b) => order.indexOf(a.bench) - order.indexOf(b.bench) || a.shape.localeCompare(b.shape))

/** @param {string} bench */
const heading = (bench) => `${bench[0].toUpperCase()}${bench.slice(1)}`

/** @param {readonly string[]} row */
const line = (row) => `| ${row.join(' | ')} |`

/** @param {Result} result */
function section(result) {
  const { header, rows } = tableOf(result)
  const rule = header.map((_, i) => (i === 0 ? '---' : '---:'))
  const { bench, shape, quantization } = result
  const command = result.command ?? `node bench/${bench}.mjs --shape ${shape} --quantization ${quantization}`
  return [
    `### ${heading(titleOf(result))}`,
    '',
    ...notesOf(result).map((note) => `- ${note}`),
    `- \`${command}\``,
    '',
    ...[header, rule, ...rows].map(line),
    '',
  ]
}

const page = [
  '# Benchmarks',
  '',
  'Made by `node bench/chart.mjs` from result files; do not edit. [bench/README.md](../bench/README.md) tells what is',
  'measured and how to repeat it. All weights are random, which changes no speed. Sides take turns within each round, each',
  'in a process of its own. A factor above 1 says that Slipway is faster.',
  '',
  '![Medians of all measurements](benchmarks.svg)',
  '',
  ...results.flatMap(section),
]
const target = new URL('../docs/', import.meta.url)
await writeFile(new URL('benchmarks.md', target), page.join('\n'))
await writeFile(new URL('benchmarks.svg', target), barChart(results))
const path = (/** @type {string} */ name) => fileURLToPath(new URL(`../${name}`, import.meta.url))
spawnSync(process.execPath, [path('node_modules/oxfmt/bin/oxfmt'), path('docs/benchmarks.md')])
console.log(`docs/benchmarks.md and docs/benchmarks.svg: ${results.length} results`)
