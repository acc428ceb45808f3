import type { LLM } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { Hono, type Context } from 'hono'
import { cors } from 'hono/cors'
import type { ContentfulStatusCode } from 'hono/utils/http-status'
import { postLoadLora, postUnloadLora } from './adapters.ts'
import { deleteFile, getFile, getFileContent, getFiles, postFiles } from './batches/files.ts'
import { getBatch, getBatches, postBatches, postCancelBatch } from './batches/routes.ts'
import { anthropicError, isAnthropicPath } from './anthropic/errors.ts'
import { postCountTokens, postMessages } from './anthropic/routes.ts'
import { answerTo, createContext, type ServerContext } from './context.ts'
import { getConfig, getHealth, getLoad, getMetrics, getReady, getVersion, whenGenerating, whenReady } from './health.ts'
import {
  getState,
  postAbortRequests,
  postPause,
  postResetPrefixCache,
  postResume,
  postSleep,
  postUpdateWeights,
  postWakeUp,
} from './control.ts'
import { playgroundPath, withAccess } from './http/access.ts'
import { adminOnly } from './http/admin.ts'
import { refusal } from './http/errors.ts'
import { withHosts } from './http/hosts.ts'
import type { ServerEnv } from './http/request-id.ts'
import { getEngineEvents } from './live.ts'
import { withScope } from './observe/with-scope.ts'
import { postChatCompletions } from './openai/chat.ts'
import { postCompletions } from './openai/completions.ts'
import { getModel, getModels } from './openai/models.ts'
import type { ServerOptions } from './options.ts'
import { Playground } from './playground.ts'
import { postClassify, postEmbeddings, postPooling, postRerank, postScore } from './pooling/routes.ts'
import { postResponses } from './responses/routes.ts'
import { postDetokenize, postTokenize } from './tokenize/routes.ts'

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

  const routes = new Set<string>()
  app.use(withScope(context, routes))
  app.use(withHosts(context.options))
  const { corsOrigins } = context.options
  if (corsOrigins) app.use(cors({ origin: corsOrigins.includes('*') ? '*' : corsOrigins, exposeHeaders }))
  const guarded = new Set<string>()
  app.use(withAccess(context.access, guarded))

  const resource = (path: string, handlers: Readonly<Record<string, Handler>>): void => {
    routes.add(path)
    for (const [method, handler] of Object.entries(handlers))
      app.on(method, path, (c) => {
        c.get('scope').route = path
        return handler(c, context)
      })
    const allow = Object.keys(handlers)
      .map((method) => (method === 'GET' ? 'GET, HEAD' : method))
      .join(', ')
    app.all(path, (c) => {
      throw refusal(`${c.req.path} takes ${allow}, not ${c.req.method}`, {
        status: 405,
        code: 'method_not_allowed',
        allow,
      })
    })
  }
  const route = (method: 'GET' | 'POST', path: string, handler: Handler): void => resource(path, { [method]: handler })
  const playground = new Playground()
  route('GET', '/', (c) => playground.getRoot(c, context))
  if (context.options.playground) route('GET', `${playgroundPath}/:file`, (c) => playground.getFile(c))
  route('GET', '/health', getHealth)
  route('GET', '/ready', getReady)
  route('GET', '/version', getVersion)
  route('GET', '/load', getLoad)
  route('GET', '/metrics', getMetrics)
  route('GET', '/config', getConfig)
  // what lies on the disk needs no model
  resource('/v1/files', { GET: getFiles, POST: postFiles })
  resource('/v1/files/:id', { GET: getFile, DELETE: deleteFile })
  route('GET', '/v1/files/:id/content', getFileContent)
  resource('/v1/batches', { GET: getBatches, POST: postBatches })
  route('GET', '/v1/batches/:id', getBatch)
  route('POST', '/v1/batches/:id/cancel', postCancelBatch)
  const ready = whenReady(context)
  app.use('/v1/*', ready)
  route('GET', '/v1/models', getModels)
  // a name on the hub has a slash in it
  route('GET', '/v1/models/:id{.+}', getModel)
  route('GET', '/v1/engine/events', getEngineEvents)
  for (const path of ['/v1/chat/completions', '/v1/completions', '/v1/responses'])
    app.use(path, whenGenerating(context))
  route('POST', '/v1/chat/completions', postChatCompletions)
  route('POST', '/v1/completions', postCompletions)
  route('POST', '/v1/responses', postResponses)
  route('POST', '/v1/messages', postMessages)
  route('POST', '/v1/messages/count_tokens', postCountTokens)
  // the paths of OpenAI, Jina, Cohere and vLLM
  for (const path of ['/pooling', '/classify', '/score', '/rerank', '/v2/rerank']) app.use(path, ready)
  route('POST', '/v1/embeddings', postEmbeddings)
  route('POST', '/pooling', postPooling)
  for (const path of ['/v1/classify', '/classify']) route('POST', path, postClassify)
  for (const path of ['/v1/score', '/score']) route('POST', path, postScore)
  for (const path of ['/v1/rerank', '/v2/rerank', '/rerank']) route('POST', path, postRerank)
  for (const path of ['/tokenize', '/detokenize']) app.use(path, ready)
  route('POST', '/tokenize', postTokenize)
  route('POST', '/detokenize', postDetokenize)
  route('POST', '/v1/load_lora_adapter', postLoadLora)
  route('POST', '/v1/unload_lora_adapter', postUnloadLora)
  const { adminKey } = context.options
  /** A route for those with the admin key; it does not exist where there is none. */
  const adminRoute = (method: 'GET' | 'POST', path: string, handler: Handler): void => {
    if (adminKey === undefined) return
    guarded.add(path)
    app.use(path, adminOnly(adminKey), ready)
    route(method, path, handler)
  }
  adminRoute('POST', '/pause', postPause)
  adminRoute('POST', '/resume', postResume)
  adminRoute('GET', '/is_paused', getState)
  adminRoute('POST', '/sleep', postSleep)
  adminRoute('POST', '/wake_up', postWakeUp)
  adminRoute('GET', '/is_sleeping', getState)
  adminRoute('POST', '/update_weights', postUpdateWeights)
  adminRoute('POST', '/abort_requests', postAbortRequests)
  adminRoute('POST', '/reset_prefix_cache', postResetPrefixCache)
  context.batches?.begin(context, (request, caller) => app.fetch(request, caller))
  return app
}
