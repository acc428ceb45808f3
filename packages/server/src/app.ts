import type { LLM } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { answerTo, createContext, type ServerContext } from './context.ts'
import { getConfig, getHealth, getLoad, getMetrics, getReady, getRoot, getVersion, whenReady } from './health.ts'
import { withAccess } from './http/access.ts'
import { refusal } from './http/errors.ts'
import { withHosts } from './http/hosts.ts'
import type { ServerEnv } from './http/request-id.ts'
import { withScope } from './observe/with-scope.ts'
import { postChatCompletions } from './openai/chat.ts'
import { postCompletions } from './openai/completions.ts'
import { getModel, getModels } from './openai/models.ts'
import type { ServerOptions } from './options.ts'

/** What a page from elsewhere may read of an answer's head. */
const exposeHeaders = [
  'x-request-id',
  'retry-after',
  ...['limit', 'remaining', 'reset'].flatMap((what) => [`x-ratelimit-${what}-requests`, `x-ratelimit-${what}-tokens`]),
]

type Handler = (c: Context<ServerEnv>, context: ServerContext) => Response | Promise<Response>

/** The HTTP face of a model, without a socket: what `serve` listens with, and what tests call by `app.request()`. */
export function createApp(llm: LLM, options: ServerOptions = {}): Hono<ServerEnv> {
  return appOf(createContext(llm, options))
}

export function appOf(context: ServerContext): Hono<ServerEnv> {
  const app = new Hono<ServerEnv>()

  const answer = (error: unknown, c: Context<ServerEnv>): Response => {
    const { status, headers, body } = answerTo(error, context, c.get('requestId'))
    return c.json(body, status as ContentfulStatusCode, headers)
  }
  app.onError(answer)
  app.notFound((c) => {
    const message = `there is no route ${c.req.path}; see GET /`
    return answer(new SlipwayError('not-found', message, { code: 'unknown_url' }), c)
  })

  const routes = new Set<string>()
  app.use(withScope(context, routes))
  app.use(withHosts(context.options))
  const { corsOrigins } = context.options
  if (corsOrigins) app.use(cors({ origin: corsOrigins.includes('*') ? '*' : corsOrigins, exposeHeaders }))
  app.use(withAccess(context.access))

  const route = (method: 'GET' | 'POST', path: string, handler: Handler): void => {
    routes.add(path)
    app.on(method, path, (c) => {
      c.get('scope').route = path
      return handler(c, context)
    })
    const allow = method === 'GET' ? 'GET, HEAD' : method
    app.all(path, (c) => {
      throw refusal(`${c.req.path} takes ${allow}, not ${c.req.method}`, {
        status: 405,
        code: 'method_not_allowed',
        allow,
      })
    })
  }
  route('GET', '/', getRoot)
  route('GET', '/health', getHealth)
  route('GET', '/ready', getReady)
  route('GET', '/version', getVersion)
  route('GET', '/load', getLoad)
  route('GET', '/metrics', getMetrics)
  route('GET', '/config', getConfig)
  app.use('/v1/*', whenReady(context))
  route('GET', '/v1/models', getModels)
  // a name on the hub has a slash in it
  route('GET', '/v1/models/:id{.+}', getModel)
  route('POST', '/v1/chat/completions', postChatCompletions)
  route('POST', '/v1/completions', postCompletions)
  return app
}
