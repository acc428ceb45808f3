// @ts-check
import { LLM, serve } from 'slipway'
import { roundingOf } from './rounding.mjs'

/**
 * Our side as `slipway serve` runs it; of the settings only what both sides need is given.
 *
 * @param {import('./server.mjs').ServerSettings} settings
 * @returns {Promise<import('./server.mjs').Server>}
 */
export async function open({ model, threads, quantization, context, sequences, batchTokens }) {
  const llm = await LLM.load(model, {
    device: 'cpu',
    threads,
    maxModelLen: context,
    maxNumSeqs: sequences,
    maxNumBatchedTokens: batchTokens,
    ...roundingOf(quantization),
  })
  const server = await serve(llm, { port: 0, logLevel: 'warn', servedModelNames: ['bench'] })
  const close = async () => {
    await server.close()
    await llm.close()
  }
  return { url: server.url, close }
}
