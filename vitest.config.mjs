import { defineConfig } from 'vitest/config'

// Tests run as they ship: compiled by tsc, loaded by Node itself, so that worker threads and native code are real.
export default defineConfig({
  test: {
    include: ['packages/*/dist/**/*.test.js', 'examples/dist/**/*.test.js'],
    setupFiles: ['scripts/flush-coverage.mjs'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    server: { deps: { external: [/\/dist\/.*(?<!\.test)\.js$/] } },
  },
})
