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
    ['--logits-processors', 'a.js', 'b.js', '--early-stop-config-threshold', '0.5'],
    { logitsProcessors: ['a.js', 'b.js'], earlyStopConfig: { threshold: 0.5 } },
  ],
  [
    ['--kv-disk-cache-directory', '/d', '--kv-disk-cache-bytes', '5GB'],
    { kvDiskCache: { directory: '/d', bytes: '5GB' } },
  ],
  [
    ['--max-lora-rank', '32', '--lora-modules', 'a=/x/y=z', '{"name": "b", "path": "/w"}'],
    { maxLoraRank: 32, loraModules: { a: '/x/y=z', b: '/w' } },
  ],
  [
    ['--task', 'classify', '--pooling-class-tokens', 'no', 'yes', '--pooling-returned-token-ids', '1', '0'],
    { task: 'classify', pooling: { classTokens: ['no', 'yes'], returnedTokenIds: [1, 0] } },
  ],
  [['--pooling-normalize'], { pooling: { normalize: true } }],
  [['--no-pooling-normalize'], { pooling: { normalize: false } }],
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

test.each([
  [['a'], '"a" is not name=folder'],
  [['=b'], '"=b" is not name=folder'],
  [['{"name": "a"}'], 'is not name=folder'],
  [['{'], 'is not name=folder'],
  [['a=b', 'a=c'], '"a" is given twice'],
])('--lora-modules %j is refused', (given, text) => {
  const command = addEngineFlags(new Command()).parse(['--lora-modules', ...given], { from: 'user' })
  expect(() => engineOptions(command.opts())).toThrow(text)
})
