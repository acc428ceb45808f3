// npm test: builds what is missing, checks the house rules, runs every test, and counts.
// Arguments go to vitest: npm test -- packages/engine
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runChecks } from './check.mjs'
import { run, tool } from './run.mjs'

const counts = { passed: 0, failed: 0, skipped: 0 }

function runTests() {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-test-'))
  const file = join(folder, 'results.json')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
  const passed = tool('vitest/vitest.mjs', ['run', ...reporters, ...process.argv.slice(2)])
  try {
    const results = JSON.parse(readFileSync(file, 'utf8'))
    counts.passed += results.numPassedTests
    counts.failed += results.numFailedTests
    counts.skipped += results.numPendingTests + results.numTodoTests
  } catch {
    console.error('vitest left no results')
  }
  rmSync(folder, { recursive: true })
  // a file that cannot be loaded fails the run without failing a test
  if (!passed && counts.failed === 0) counts.failed++
}

if (run(process.execPath, ['scripts/build.mjs'])) {
  const { passed, failed } = runChecks()
  counts.passed += passed
  counts.failed += failed
  runTests()
} else counts.failed++
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exit(counts.failed === 0 ? 0 : 1)
