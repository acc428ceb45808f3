// Line coverage of every file over the whole test run, worker threads and child processes included.
import { rmSync } from 'node:fs'
import { root, run, tool } from './run.mjs'

const folder = `${root}/coverage`
rmSync(folder, { recursive: true, force: true })
const env = { NODE_V8_COVERAGE: `${folder}/raw` }
const passed = run(process.execPath, ['scripts/test.mjs', ...process.argv.slice(2)], env)
const report = ['report', '--temp-directory', `${folder}/raw`, '--reports-dir', folder, '--all', '--src', 'packages']
const filters = ['--include', 'packages/*/src/**', '--exclude', '**/*.test.ts', '--exclude-after-remap']
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
