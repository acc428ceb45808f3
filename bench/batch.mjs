// @ts-check
// New tokens per second of several sequences together.
import { compare } from './lib/harness.mjs'

await compare('batch', {
  flags: [
    ['sequences', '1,2,4,8,16', 'sequences that decode together'],
    ['tokens', '64', 'new tokens of each'],
  ],
  cases: ({ own }) =>
    own['sequences'].map((sequences) => ({
      label: `batch ${sequences}`,
      task: { kind: 'decode', prompt: 16, tokens: own['tokens'][0], sequences },
    })),
})
