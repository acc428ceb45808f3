// @ts-check
// A contestant that serves, in its own process: loads a model, tells its address, and from then on its processor time.
import { ownTime } from './machine.mjs'
import { answerMessages } from './remote.mjs'

/**
 * @typedef {object} ServerSettings
 * @property {string} model directory or file
 * @property {number} threads
 * @property {string} quantization of our side
 * @property {number} context tokens of the longest sequence
 * @property {number} sequences at once
 * @property {number} batchTokens most tokens of one step
 *
 * @typedef {object} Server
 * @property {string} url without /v1
 * @property {() => Promise<void>} close
 */

/** @type {Promise<Server> | undefined} */
let server

/** @param {{ module: string, settings: ServerSettings }} message */
async function answer({ module, settings }) {
  /** @type {{ open: (settings: ServerSettings) => Promise<Server> }} */
  const contestant = await import(module)
  server ??= contestant.open(settings)
  return { url: (await server).url, cpuTime: ownTime() }
}

answerMessages(answer, () => server?.then(({ close }) => close()))
