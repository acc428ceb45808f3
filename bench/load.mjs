// @ts-check
// Seconds from the start of a process to its first new token: cold, with neither packed weights nor cached files left
// from before, and warm, the start after that.
import { compare } from './lib/harness.mjs'

await compare('load', {
  unit: 's',
  flags: [['prompt', '16', 'length of the prompt']],
  cases: ({ own }) =>
    [true, false].map((cold) => ({
      label: cold ? 'cold' : 'warm',
      task: { kind: 'load', prompt: own['prompt'][0], tokens: 1, sequences: 1, cold },
    })),
})
