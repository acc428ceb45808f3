import { contentSecurityPolicy, readPage, type PageFile } from '@slipway/playground'
import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import type { ServerContext } from './context.ts'
import { getRoot } from './health.ts'
import type { ServerEnv } from './http/request-id.ts'

const security = {
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
} as const

/** Serves the page: read from disk when it is first asked for, then from memory. */
export class Playground {
  #files: ReadonlyMap<string, PageFile> | undefined

  /** GET /: the page for browsers, JSON for everybody else. */
  getRoot(c: Context<ServerEnv>, context: ServerContext, routes: readonly string[]): Response {
    c.header('vary', 'accept', { append: true })
    const wantsPage = context.options.playground && c.req.header('accept')?.includes('text/html')
    return wantsPage ? this.#send(c, 'index.html', 'no-cache') : getRoot(c, context, routes)
  }

  /** GET /playground/:file */
  getFile(c: Context<ServerEnv>): Response {
    // the names change with what the files hold
    return this.#send(c, c.req.param('file') ?? '', 'public, max-age=31536000, immutable')
  }

  #send(c: Context<ServerEnv>, name: string, caching: string): Response {
    const files = (this.#files ??= readPage())
    if (!files)
      throw new SlipwayError('not-found', 'the playground is not built: run "npm run build"', { code: 'unknown_url' })
    const file = files.get(name)
    if (!file) throw new SlipwayError('not-found', `the playground has no file ${name}`, { code: 'unknown_url' })
    return c.body(file.body, 200, { ...security, 'content-type': file.type, 'cache-control': caching })
  }
}
