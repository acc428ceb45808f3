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
    ['--logits-processors', 'a.js', 'b.js', '--early-stop-config-threshold', '0.5'],
    { ...on, logitsProcessors: ['a.js', 'b.js'], earlyStopConfig: { threshold: 0.5 } },
  ],
  [
    ['--kv-disk-cache-directory', '/d', '--kv-disk-cache-bytes', '5GB'],
    { ...on, kvDiskCache: { directory: '/d', bytes: '5GB' } },
  ],
  [
    ['--max-lora-rank', '32', '--lora-modules', 'a=/x/y=z', '{"name": "b", "path": "/w"}'],
    { ...on, maxLoraRank: 32, loraModules: { a: '/x/y=z', b: '/w' } },
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
