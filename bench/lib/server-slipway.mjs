// @ts-check
import { serve } from 'slipway'
import { loadSlipway } from './load-slipway.mjs'

/**
 * Our side as `slipway serve` runs it; of the settings only what both sides need is given.
 *
 * @param {import('./server.mjs').ServerSettings} settings
 * @returns {Promise<import('./server.mjs').Server>}
 */
export async function open(settings) {
  const llm = await loadSlipway(settings)
  const server = await serve(llm, { port: 0, logLevel: 'warn', servedModelNames: ['bench'] })
  const close = async () => {
    await server.close()
    await llm.close()
  }
  return { url: server.url, close }
}
