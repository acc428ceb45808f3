// @ts-check
// New tokens per second of one sequence after a context of some length. The prompt is computed anew in every round.
import { compare } from './lib/harness.mjs'
import { reasonAgainst } from './lib/prepare.mjs'

/** No side can decode without a prompt. */
const leastPrompt = 2

await compare('depth', {
  flags: [
    ['depths', '0,1024,4096,16384', 'tokens of context; 16384 takes minutes a round'],
    ['tokens', '64', 'new tokens'],
  ],
  cases: ({ own, shape }) => {
    const tokens = own['tokens'][0]
    return own['depths'].flatMap((depth) => {
      const prompt = Math.max(leastPrompt, depth)
      const reason = reasonAgainst(shape, prompt + tokens)
      if (reason) console.log(`context ${depth} is left out: ${reason}`)
      return reason ? [] : [{ label: `context ${depth}`, task: { kind: 'decode', prompt, tokens, sequences: 1 } }]
    })
  },
})
