// Lint, format and house rules: fast enough to run before every commit.
import { run, tool } from './run.mjs'

export const checks = [
  ['lint', () => tool('oxlint/bin/oxlint', ['--quiet'])],
  ['format', () => tool('oxfmt/bin/oxfmt', ['--check'])],
  ['boundaries', () => run(process.execPath, ['scripts/boundaries.mjs'])],
]

/** Runs all checks; returns how many passed and failed. */
export function runChecks() {
  const failed = checks.filter(([name, check]) => {
    const passed = check()
    console.log(`${passed ? 'ok' : 'FAILED'} ${name}`)
    return !passed
  })
  return { passed: checks.length - failed.length, failed: failed.length }
}

if (process.argv[1]?.endsWith('check.mjs')) process.exit(runChecks().failed === 0 ? 0 : 1)
