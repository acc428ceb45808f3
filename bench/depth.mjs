// @ts-check
// New tokens per second of one sequence after a context of some length. The prompt is computed anew in every round.
import { compare } from './lib/harness.mjs'

/** No side can decode without a prompt. */
const leastPrompt = 2

await compare('depth', {
  flags: [
    ['depths', '0,1024,4096', 'tokens of context; 16384 takes minutes a round'],
    ['tokens', '64', 'new tokens'],
  ],
  cases: ({ own }) =>
    own['depths'].map((depth) => ({
      label: `context ${depth}`,
      task: { kind: 'decode', prompt: Math.max(leastPrompt, depth), tokens: own['tokens'][0], sequences: 1 },
    })),
})
