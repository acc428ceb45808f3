// Line coverage of every file over the whole test run, worker threads and child processes included.
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { root, run, tool } from './run.mjs'

/** Files of types alone compile to nothing and have no line to cover. */
function typeOnlyFiles() {
  const files = readdirSync(join(root, 'packages')).flatMap((name) =>
    readdirSync(join(root, 'packages', name, 'dist'), { recursive: true })
      .filter((file) => file.endsWith('.js'))
      .map((file) => `packages/${name}/dist/${file}`),
  )
  const isEmpty = (file) =>
    readFileSync(join(root, file), 'utf8')
      .replaceAll(/^\/\/.*$/gm, '')
      .trim() === 'export {};'
  return files.filter(isEmpty).map((file) => file.replace('/dist/', '/src/').replace(/\.js$/, '.ts'))
}

const folder = `${root}/coverage`
rmSync(folder, { recursive: true, force: true })
const env = { NODE_V8_COVERAGE: `${folder}/raw` }
const passed = run(process.execPath, ['scripts/test.mjs', ...process.argv.slice(2)], env)
const report = ['report', '--temp-directory', `${folder}/raw`, '--reports-dir', folder, '--all', '--src', 'packages']
const filters = ['--include', 'packages/*/src/**', '--exclude-after-remap']
// without a browser nothing of the page runs but its logic
const { skipReason } = await import('../packages/server/dist/testing/browser.js')
const unseen = ['packages/playground/src/page/**', 'packages/server/src/testing/{browser,playground}.ts']
if (skipReason !== undefined) for (const file of unseen) filters.push('--exclude', file)
for (const file of ['**/*.test.ts', ...typeOnlyFiles()]) filters.push('--exclude', file)
const enough = tool('c8/bin/c8.js', [
  ...report,
  ...filters,
  '--reporter=text',
  '--per-file',
  '--check-coverage',
  '--lines=80',
  '--functions=0',
  '--branches=0',
  '--statements=0',
])
process.exit(passed && enough ? 0 : 1)
