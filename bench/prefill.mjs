// @ts-check
// Prompt tokens per second: the length of a prompt over the time to its first new token.
import { compare } from './lib/harness.mjs'

await compare('prefill', {
  flags: [['prompt', '512', 'lengths of the prompt']],
  cases: ({ own }) =>
    own['prompt'].map((prompt) => ({
      label: `${prompt} tokens`,
      task: { kind: 'prefill', prompt, tokens: 1, sequences: 1 },
    })),
})
