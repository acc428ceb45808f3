// @ts-check
import { loadSlipway } from './load-slipway.mjs'

/** @typedef {import('./child.mjs').Runner} Runner */

/**
 * Our side: the offline API as any user calls it.
 *
 * @param {import('./child.mjs').Settings} settings
 * @returns {Promise<Runner>}
 */
export async function open(settings) {
  // rounds repeat their prompts, and no side is to answer from memory
  const llm = await loadSlipway(settings, { prefixCaching: false })
  const { device, dtype, kvCacheDtype, numParameters } = llm.info
  return {
    info: { device, dtype, kvCacheDtype, numParameters },
    close: () => llm.close(),
    run(prompts, tokens) {
      const start = performance.now()
      return Promise.all(
        prompts.map(async (prompt) => {
          const times = []
          const params = { temperature: 0, maxTokens: tokens, ignoreEos: true }
          for await (const event of llm.submit(prompt, params))
            if (event.type === 'delta') for (const _ of event.tokenIds) times.push(performance.now() - start)
          return times
        }),
      )
    },
  }
}
