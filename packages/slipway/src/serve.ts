import type { LLM } from '@slipway/engine'
import type { RunningServer, ServerOptions } from '@slipway/server'

export type { RunningServer, ServerOptions }

/** Serves a model over HTTP. The server's code is read when it is first asked for: what runs offline starts without it. */
export async function serve(llm: LLM, options?: ServerOptions): Promise<RunningServer> {
  const server = await import('@slipway/server')
  return server.serve(llm, options)
}
