import type { LLM } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { anthropicError, isAnthropicPath } from './anthropic/errors.ts'
import { answerTo, createContext, type ServerContext } from './context.ts'
import { withAccess } from './http/access.ts'
import { adminOnly } from './http/admin.ts'
import { refusal } from './http/errors.ts'
import { withHosts } from './http/hosts.ts'
import type { ServerEnv } from './http/request-id.ts'
import { withScope } from './observe/with-scope.ts'
import type { ServerOptions } from './options.ts'
import type { Route } from './route.ts'
import { routesOf } from './routes.ts'

/** What a page from elsewhere may read of an answer's head. */
const exposeHeaders = [
  'x-request-id',
  'retry-after',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [`x-ratelimit-${what}-requests`, `x-ratelimit-${what}-tokens`]),
]

/** The HTTP face of a model, without a socket: what `serve` listens with, and what tests call by `app.request()`. */
export function createApp(llm: LLM, options: ServerOptions = {}): Hono<ServerEnv> {
  return appOf(createContext(llm, options))
}

export function appOf(context: ServerContext): Hono<ServerEnv> {
  const app = new Hono<ServerEnv>()

  const answer = (error: unknown, c: Context<ServerEnv>): Response => {
    const requestId = c.get('requestId')
    const told = answerTo(error, context, requestId)
    const body = isAnthropicPath(c.req.path) ? anthropicError(told, requestId) : told.body
    return c.json(body, told.status as ContentfulStatusCode, told.headers)
  }
  app.onError(answer)
  app.notFound((c) => {
    const message = `there is no route ${c.req.path}; see GET /`
    return answer(new SlipwayError('not-found', message, { code: 'unknown_url' }), c)
  })

  const routes = routesOf(context.options)
  const paths = [...new Set(routes.map(({ path }) => path))]
  app.use(withScope(context, new Set(paths)))
  app.use(withHosts(context.options))
  const { corsOrigins, adminKey } = context.options
  if (corsOrigins) app.use(cors({ origin: corsOrigins.includes('*') ? '*' : corsOrigins, exposeHeaders }))
  const ofAdmin = new Set(pathsWith(routes, 'admin'))
  app.use(withAccess(context.access, new Set([...pathsWith(routes, 'open'), ...ofAdmin])))
  if (adminKey !== undefined) for (const path of ofAdmin) app.use(path, adminOnly(adminKey))
  for (const { method, path, handle } of routes)
    app.on(method, path, (c) => {
      c.get('scope').route = path
      return handle(c, context)
    })
  for (const path of paths) {
    const methods = routes.filter((route) => route.path === path).map(({ method }) => method)
    const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : method)).join(', ')
    app.all(path, (c) => {
      throw refusal(`${c.req.path} takes ${allow}, not ${c.req.method}`, {
        status: 405,
        code: 'method_not_allowed',
        allow,
      })
    })
  }
  context.batches?.begin(context, (request, caller) => app.fetch(request, caller))
  return app
}

function pathsWith(routes: readonly Route[], access: Route['access']): string[] {
  return routes.filter((route) => route.access === access).map(({ path }) => path)
}
