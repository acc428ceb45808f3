import { Command } from 'commander'
import { expect, test } from 'vitest'
import { addEngineFlags, engineOptions } from './flags.ts'

test.each([
  [[], {}],
  [['--no-prefix-caching'], { prefixCaching: false }],
  [['--prefix-caching'], { prefixCaching: true }],
  [
    ['--step-budget-ms', '12.5', '--kv-cache-memory', '2GB', '--offline'],
    { stepBudgetMs: 12.5, kvCacheMemory: '2GB', offline: true },
  ],
  [['--no-packed-cache', '--pin-threads'], { packedCache: false, pinThreads: true }],
  [
    ['--kv-disk-cache-directory', '/d', '--kv-disk-cache-bytes', '5GB'],
    { kvDiskCache: { directory: '/d', bytes: '5GB' } },
  ],
  [['--download-dir', '/models'], { cacheDir: '/models' }],
])('%j', (args, options) => {
  const command = addEngineFlags(new Command()).parse(args, { from: 'user' })
  expect(engineOptions(command.opts(), {})).toEqual(options)
})

test('the environment counts for what flags leave open', () => {
  const command = addEngineFlags(new Command()).parse(['--threads', '1'], { from: 'user' })
  const environment = { SLIPWAY_THREADS: '2', SLIPWAY_MAX_MODEL_LEN: '64', SLIPWAY_PORT: 'tcp://10.0.0.1:80' }
  expect(engineOptions(command.opts(), environment)).toEqual({ threads: 1, maxModelLen: 64 })
})
