// Builds what is missing: the C++ kernels (skipped with a hint where there is no compiler), TypeScript, the page,
// and the bundle that starts fast.
import { existsSync } from 'node:fs'
import { root, run, tool } from './run.mjs'

if (!existsSync(`${root}/node_modules/typescript`)) {
  console.error('Dependencies are missing: run "npm ci" first.')
  process.exit(1)
}
const built =
  run(process.execPath, ['packages/tensor/scripts/build-native.mjs']) &&
  tool('typescript/bin/tsc', ['-b']) &&
  run(process.execPath, ['packages/playground/scripts/build-page.mjs']) &&
  run(process.execPath, ['packages/slipway/scripts/build-bundle.mjs'])
process.exit(built ? 0 : 1)
