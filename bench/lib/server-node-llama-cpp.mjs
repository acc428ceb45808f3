// @ts-check
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { getLlama } from 'node-llama-cpp'

/** @typedef {import('node-llama-cpp').LlamaContextSequence} Sequence */

/**
 * The least that serves node-llama-cpp: a sequence of one context for each request, which its own queue batches. A
 * sequence keeps what it has computed, so a request that begins like the one before it there computes only the rest.
 *
 * @param {import('./server.mjs').ServerSettings} settings
 * @returns {Promise<import('./server.mjs').Server>}
 */
export async function open({ model: modelPath, threads, context: contextSize, sequences, batchTokens: batchSize }) {
  const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads })
  const model = await llama.loadModel({ modelPath })
  const context = await model.createContext({ contextSize, threads, sequences, batchSize })
  const free = Array.from({ length: sequences }, () => context.getSequence())
  /** @type {((sequence: Sequence) => void)[]} */
  const waiting = []

  /** @param {import('node:http').IncomingMessage} request @param {import('node:http').ServerResponse} response */
  async function complete(request, response) {
    const { prompt, max_tokens } = JSON.parse(await text(request))
    /** @type {Sequence} */
    const sequence = free.pop() ?? (await new Promise((resolve) => waiting.push(resolve)))
    const tokens = model.tokenize(prompt)
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = (/** @type {unknown} */ chunk) => response.write(`data: ${JSON.stringify(chunk)}\n\n`)
    await sequence.adaptStateToTokens(tokens, false)
    let made = 0
    const rest = tokens.slice(sequence.nextTokenIndex)
    for await (const token of sequence.evaluate(rest, { temperature: 0, yieldEogToken: true })) {
      send({ choices: [{ index: 0, text: model.detokenize([token]), finish_reason: null }] })
      if (++made === max_tokens) break
    }
    send({ choices: [], usage: { prompt_tokens: tokens.length, completion_tokens: made } })
    response.end('data: [DONE]\n\n')
    const next = waiting.shift()
    if (next) next(sequence)
    else free.push(sequence)
  }

  const server = createServer((request, response) => {
    complete(request, response).catch((error) => response.destroy(error))
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)))
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address())
  return { url: `http://127.0.0.1:${port}`, close: () => llama.dispose() }
}
