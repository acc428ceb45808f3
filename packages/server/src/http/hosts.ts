import { createMiddleware } from 'hono/factory'
import type { ResolvedServerOptions } from '../options.ts'
import { refusal } from './errors.ts'

const loopback = ['localhost', '127.0.0.1', '::1']

/**
 * Refuses names of the server that it does not have. A web page can make its own name point to this machine (DNS
 * rebinding) and would then count as the same origin; its name in the Host header gives it away.
 */
export function withHosts({ host, allowedHosts }: Pick<ResolvedServerOptions, 'host' | 'allowedHosts'>) {
  const isLocal = loopback.includes(host) || host.startsWith('127.')
  const allowed = new Set((allowedHosts ?? (isLocal ? loopback : ['*'])).map((name) => name.toLowerCase()))
  if (isLocal) for (const name of [...loopback, host]) allowed.add(name)
  return createMiddleware(async (c, next) => {
    const name = hostName(c.req.header('host'))
    if (allowed.has('*') || name === undefined || allowed.has(name)) return next()
    throw refusal(`the server is not known as "${name}"; name it with --allowed-host`, {
      status: 403,
      code: 'host_not_allowed',
    })
  })
}

/** Without its port and brackets. */
function hostName(header: string | undefined): string | undefined {
  return header
    ?.toLowerCase()
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
}
