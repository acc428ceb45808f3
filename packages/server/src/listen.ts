import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { createSecureContext } from 'node:tls'
import { SlipwayError } from '@slipway/tensor'
import { refusal } from './http/errors.ts'
import type { ResolvedServerOptions } from './options.ts'

export interface Listening {
  readonly server: Server
  /** With an address that a client on this machine can use. */
  readonly url: string
  readonly port: number
}

/** Opens the socket: HTTP, or HTTPS with a certificate, with bounds on what a client may send and how slowly. */
export async function listen(listener: RequestListener, options: ResolvedServerOptions): Promise<Listening> {
  const { host, port, maxHeaderBytes, headerTimeoutSeconds, requestTimeoutSeconds, maxConnections } = options
  const shortest = Math.min(headerTimeoutSeconds, requestTimeoutSeconds)
  const limits: ServerOptions = {
    maxHeaderSize: maxHeaderBytes,
    headersTimeout: shortest * 1000,
    requestTimeout: requestTimeoutSeconds * 1000,
    connectionsCheckingInterval: Math.min(5000, Math.max(20, shortest * 250)),
  }
  const pair = readCertificate(options)
  const server = pair ? createHttpsServer({ ...limits, ...pair }, listener) : createHttpServer(limits, listener)
  if (maxConnections !== undefined) server.maxConnections = maxConnections
  dropSlowReaders(server, options.slowReaderSeconds)
  server.listen(port, host)
  await once(server, 'listening').catch((error: unknown) => {
    throw listenError(error, host, port)
  })
  const address = server.address() as AddressInfo
  return {
    server,
    url: `${pair ? 'https' : 'http'}://${reachable(address.address)}:${address.port}`,
    port: address.port,
  }
}

/**
 * Ends connections on which nothing has moved for a while, if it is the client's turn: to take what was sent, or to ask
 * again. One that waits for an answer is left alone.
 */
function dropSlowReaders(server: Server, seconds: number): void {
  const numOpen = new WeakMap<Socket, number>()
  const count = (socket: Socket, by: number): void => void numOpen.set(socket, (numOpen.get(socket) ?? 0) + by)
  server.on('request', (request, response) => {
    const { socket } = request
    count(socket, 1)
    response.once('close', () => count(socket, -1))
  })
  server.setTimeout(seconds * 1000, (socket: Socket) => {
    if (socket.writableLength > 0 || !numOpen.get(socket)) socket.destroy()
  })
}

/** Key and certificate, if there are any. */
export function readCertificate({
  sslKeyfile,
  sslCertfile,
}: ResolvedServerOptions): { key: Buffer; cert: Buffer } | undefined {
  if (sslKeyfile === undefined && sslCertfile === undefined) return undefined
  if (sslKeyfile === undefined || sslCertfile === undefined) {
    const [given, missing] = sslKeyfile === undefined ? ['sslCertfile', 'sslKeyfile'] : ['sslKeyfile', 'sslCertfile']
    throw refusal(`option ${given}: HTTPS needs ${missing} as well`, { param: missing })
  }
  const key = readFor('sslKeyfile', sslKeyfile)
  const cert = readFor('sslCertfile', sslCertfile)
  try {
    createSecureContext({ key, cert })
  } catch (error) {
    throw refusal(
      `options sslKeyfile, sslCertfile: ${sslKeyfile} and ${sslCertfile} make no pair of key and certificate in PEM form: ${(error as Error).message}`,
      { param: 'sslCertfile' },
    )
  }
  return { key, cert }
}

function readFor(param: string, path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw refusal(`option ${param}: ${(error as Error).message}`, { param })
  }
}

/** Why there is no socket; `flag` is where its port is set. */
export function listenError(error: unknown, host: string, port: number, flag = '--port'): SlipwayError {
  const given = error instanceof Error && 'code' in error ? error.code : undefined
  // gRPC has only its text
  const code = given ?? /\bE[A-Z]{4,}\b/.exec(String(error))?.[0]
  const reasons: Readonly<Record<string, string>> = {
    EADDRINUSE: `port ${port} is in use; choose another with ${flag}`,
    EACCES: `port ${port} needs more rights; choose one above 1023 with ${flag}`,
    EADDRNOTAVAIL: `this machine has no address ${host}; choose another with --host`,
    ENOTFOUND: `there is no host named ${host}; choose another with --host`,
  }
  const reason = reasons[String(code)] ?? `cannot listen on ${host}, port ${port}: ${String(error)}`
  return new SlipwayError('request', reason, { code: String(code) }, { cause: error })
}

/** An address for clients on this machine. */
export function reachable(address: string): string {
  if (address === '0.0.0.0') return '127.0.0.1'
  if (address === '::') return '[::1]'
  return address.includes(':') ? `[${address}]` : address
}
