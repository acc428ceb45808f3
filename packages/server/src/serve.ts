import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import { setTimeout as after } from 'node:timers/promises'
import { getRequestListener, RequestError } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { LLM } from '@slipway/engine'
import { appOf } from './app.ts'
import { createContext, type ServerContext } from './context.ts'
import type { GrpcServer } from './grpc/server.ts'
import { DirectResponse } from './http/direct-response.ts'
import { refusal, toApiError } from './http/errors.ts'
import { listen } from './listen.ts'
import type { ServerOptions } from './options.ts'

export interface RunningServer {
  /** With an address that a client on this machine can use. */
  readonly url: string
  readonly port: number
  /** Where gRPC is served, as host:port, if it is. */
  readonly grpcAddress: string | undefined
  /**
   * Refuses new requests, while GET /ready tells so, gives open ones `drainSeconds` to end, then ends them. Resolves to
   * whether all came to their end in time. The model stays open.
   */
  close(): Promise<boolean>
}

/**
 * Listens over HTTP, and over gRPC where `grpcPort` is set. Begin with `LLM.start`, then clients already get answers while the model loads.
 *
 * @example
 * const llm = LLM.start('Qwen/Qwen3-0.6B')
 * const server = await serve(llm, { port: 8000 })
 */
export async function serve(llm: LLM, options: ServerOptions = {}): Promise<RunningServer> {
  const context = createContext(llm, options)
  const { drainSeconds, grpcPort } = context.options
  // the globals Request and Response stay those of Node
  const app = appOf(context)
  const answer = getRequestListener(
    async (request, env) => {
      const response = await app.fetch(request, env)
      if (!(response instanceof DirectResponse)) return response
      response.send(env.outgoing as ServerResponse)
      return RESPONSE_ALREADY_SENT
    },
    { overrideGlobalObjects: false, errorHandler: notHttp },
  )
  const { server, url, port, grpc } = await open().catch(async (error: unknown) => {
    await context.batches?.close()
    throw error
  })
  async function open() {
    const http = await listen((incoming, outgoing) => void answer(incoming, outgoing), context.options)
    return { ...http, grpc: grpcPort === undefined ? undefined : await startGrpc(context, http.server) }
  }
  return {
    url,
    port,
    grpcAddress: grpc?.address,
    async close() {
      context.isDraining = true
      // the next server goes on with them
      await context.batches?.close()
      const deadline = performance.now() + drainSeconds * 1000
      while (context.numOpen > 0 && performance.now() < deadline) await after(10)
      const numCut = context.numOpen
      for (const generations of context.open) generations.abort()
      const closed = once(server, 'close').then(() => true)
      server.close()
      const grpcClosed = grpc?.close(graceMilliseconds)
      context.live.close()
      // connections that clients keep for later would hold up the end
      const sweep = setInterval(() => server.closeIdleConnections(), 50)
      const inTime = await Promise.race([closed, after(graceMilliseconds, false, { ref: false })])
      if (!inTime) server.closeAllConnections()
      await closed
      clearInterval(sweep)
      return inTime && numCut === 0 && (await grpcClosed) !== false
    },
  }
}

/** Who does not ask for gRPC does not load it. A server that cannot have it closes its other door again. */
async function startGrpc(context: ServerContext, http: Server): Promise<GrpcServer> {
  try {
    const { serveGrpc } = await import('./grpc/server.ts')
    return await serveGrpc(context)
  } catch (error) {
    http.close()
    throw error
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
