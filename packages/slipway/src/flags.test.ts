import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addEngineFlags, engineOptions } from './flags.ts'

test.each([
  [[], { prefixCaching: true }],
  [['--no-prefix-caching'], { prefixCaching: false }],
  [
    ['--step-budget-ms', '12.5', '--kv-cache-memory', '2GB', '--offline'],
    { prefixCaching: true, stepBudgetMs: 12.5, kvCacheMemory: '2GB', offline: true },
  ],
  [
    ['--kv-disk-cache-directory', '/d', '--kv-disk-cache-bytes', '5GB'],
    { prefixCaching: true, kvDiskCache: { directory: '/d', bytes: '5GB' } },
  ],
])('%j', (args, options) => {
  const command = addEngineFlags(new Command()).parse(args, { from: 'user' })
  expect(engineOptions(command.opts())).toEqual(options)
})
