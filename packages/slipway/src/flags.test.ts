import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addEngineFlags, engineOptions } from './flags.ts'

// commander gives what can be switched off
const on = { packedCache: true, prefixCaching: true }

test.each([
  [[], on],
  [['--no-prefix-caching'], { ...on, prefixCaching: false }],
  [
    ['--step-budget-ms', '12.5', '--kv-cache-memory', '2GB', '--offline'],
    { ...on, stepBudgetMs: 12.5, kvCacheMemory: '2GB', offline: true },
  ],
  [['--no-packed-cache', '--pin-threads'], { ...on, packedCache: false, pinThreads: true }],
  [
    ['--kv-disk-cache-directory', '/d', '--kv-disk-cache-bytes', '5GB'],
    { ...on, kvDiskCache: { directory: '/d', bytes: '5GB' } },
  ],
  [
    ['--task', 'classify', '--pooling-class-tokens', 'no', 'yes', '--pooling-returned-token-ids', '1', '0'],
    { ...on, task: 'classify', pooling: { classTokens: ['no', 'yes'], returnedTokenIds: [1, 0] } },
  ],
  [['--pooling-normalize'], { ...on, pooling: { normalize: true } }],
  [['--no-pooling-normalize'], { ...on, pooling: { normalize: false } }],
])('%j', (args, options) => {
  const command = addEngineFlags(new Command()).parse(args, { from: 'user' })
  expect(engineOptions(command.opts())).toEqual(options)
})
