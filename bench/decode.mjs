// @ts-check
// New tokens per second of one sequence, from its second to its last, and the bytes that this streams.
import { compare } from './lib/harness.mjs'

await compare('decode', {
  flags: [['tokens', '128', 'new tokens']],
  cases: ({ own }) =>
    own['tokens'].map((tokens) => ({
      label: `${tokens} tokens`,
      task: { kind: 'decode', prompt: 16, tokens, sequences: 1 },
    })),
})
