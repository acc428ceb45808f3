// @ts-check
import { LLM } from 'slipway'
import { roundingOf } from './rounding.mjs'

/**
 * Our side with the settings that it shares with the others.
 *
 * @param {import('./server.mjs').ServerSettings} settings
 * @param {import('@slipway/engine').EngineOptions} [more]
 */
export function loadSlipway({ model, threads, quantization, context, sequences, batchTokens }, more = {}) {
  return LLM.load(model, {
    device: 'cpu',
    threads,
    maxModelLen: context,
    maxNumSeqs: sequences,
    maxNumBatchedTokens: batchTokens,
    ...roundingOf(quantization),
    ...more,
  })
}
