import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as after } from 'node:timers/promises'
import { getRequestListener, RequestError } from '@hono/node-server'
import type { LLM } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { createContext } from './context.ts'
import { appOf } from './app.ts'
import { refusal, toApiError } from './http/errors.ts'
import type { ServerOptions } from './options.ts'

export interface RunningServer {
  /** With an address that a client on this machine can use. */
  readonly url: string
  readonly port: number
  /** Takes no more requests, gives open ones `drainSeconds` to end, then ends them. The model stays open. */
  close(): Promise<void>
}

/**
 * Listens over HTTP. Begin with `LLM.start`, then clients already get answers while the model loads.
 *
 * @example
 * const llm = LLM.start('Qwen/Qwen3-0.6B')
 * const server = await serve(llm, { port: 8000 })
 */
export async function serve(llm: LLM, options: ServerOptions = {}): Promise<RunningServer> {
  const context = createContext(llm, options)
  const { host, port, drainSeconds } = context.options
  // the globals Request and Response stay those of Node
  const listener = getRequestListener(appOf(context).fetch, { overrideGlobalObjects: false, errorHandler: notHttp })
  const server = createServer((incoming, outgoing) => void listener(incoming, outgoing))
  server.listen(port, host)
  await once(server, 'listening').catch((error: unknown) => {
    throw listenError(error, host, port)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${reachable(address.address)}:${address.port}`,
    port: address.port,
    async close() {
      const closed = once(server, 'close').then(() => 'closed' as const)
      server.close()
      context.live.close()
      // connections that clients keep for later would hold up the end
      const sweep = setInterval(() => server.closeIdleConnections(), 50)
      const isClosed = (): Promise<unknown> =>
        Promise.race([closed, after(drainSeconds * 1000, undefined, { ref: false })])
      if ((await isClosed()) !== 'closed') {
        for (const generations of context.open) generations.abort()
        await Promise.race([closed, after(graceMilliseconds, undefined, { ref: false })])
        server.closeAllConnections()
      }
      await closed
      clearInterval(sweep)
    },
  }
}

/** Time in which requests that were ended can still tell so to their clients. */
const graceMilliseconds = 1000

/** What is no request at all: a broken Host header or address. */
function notHttp(error: unknown): Response {
  const reason = error instanceof RequestError ? refusal(`not a valid request: ${error.message}`) : error
  const { status, body } = toApiError(reason, 'none')
  return Response.json(body, { status })
}

function listenError(error: unknown, host: string, port: number): SlipwayError {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} is in use; choose another with --port`,
    EACCES: `port ${port} needs more rights; choose one above 1023 with --port`,
    EADDRNOTAVAIL: `this machine has no address ${host}; choose another with --host`,
    ENOTFOUND: `there is no host named ${host}; choose another with --host`,
  }
  const reason = reasons[String(code)] ?? `cannot listen on ${host}, port ${port}: ${String(error)}`
  return new SlipwayError('request', reason, { code: String(code) }, { cause: error })
}

/** An address for clients on this machine. */
function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return address.includes(':') ? `[${address}]` : address
}
