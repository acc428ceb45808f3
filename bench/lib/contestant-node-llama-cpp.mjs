// @ts-check
import { getLlama } from 'node-llama-cpp'

/** @typedef {import('./child.mjs').Runner} Runner */

/**
 * llama.cpp in Node, on its prebuilt kernels for the processor.
 *
 * @param {import('./child.mjs').Settings} settings
 * @returns {Promise<Runner>}
 */
export async function open({ model: modelPath, threads, context: contextSize, batchTokens }) {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads })
  const model = await llama.loadModel({ modelPath })
  /** @type {Awaited<ReturnType<typeof model.createContext>> | undefined} */
  let context

  return {
    info: { llamaCpp: llama.llamaCppRelease.release, systemInfo: llama.systemInfo },
    async run(prompts, tokens) {
      // a context with more sequences than are used would give each step more to do
      if (context?.totalSequences !== prompts.length) {
        await context?.dispose()
        context = await model.createContext({
          contextSize,
          threads,
          sequences: prompts.length,
          batchSize: Math.max(batchTokens, prompts.length),
        })
      }
      const sequences = prompts.map(() => /** @type {NonNullable<typeof context>} */ (context).getSequence())
      const texts = sequences.map((sequence, i) =>
        sequence.evaluate(/** @type {any} */ (prompts[i]), { temperature: 0, yieldEogToken: true }),
      )
      /** @type {number[][]} */
      const arrivals = prompts.map(() => [])
      const start = performance.now()
      // in step: left to themselves the sequences fall out of one batch into two, and are slower
      for (let n = 0; n < tokens; n++)
        await Promise.all(
          texts.map(async (text, i) => {
            await text.next()
            arrivals[i].push(performance.now() - start)
          }),
        )
      for (const text of texts) await text.return()
      for (const sequence of sequences) await sequence.dispose()
      return arrivals
    },
  }
}
