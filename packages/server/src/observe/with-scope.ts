import { createMiddleware } from 'hono/factory'
import { modelLabel, type ServerContext } from '../context.ts'
import { requestIdOf, type ServerEnv } from '../http/request-id.ts'
import { logRequest } from './log.ts'
import { RequestScope } from './request-scope.ts'
import { traceRequest } from './tracing.ts'

/**
 * Gives every request its id and scope, every answer its `x-request-id`; counts, logs and traces it when it ends. `routes`
 * are the paths that are declared.
 */
export function withScope(context: ServerContext, routes: ReadonlySet<string>) {
  return createMiddleware<ServerEnv>(async (c, next) => {
    const requestId = requestIdOf(c.req.raw.headers)
    const scope = new RequestScope(requestId, c.req.method)
    // one that is refused before it reaches its route is counted there all the same
    if (routes.has(c.req.path)) scope.route = c.req.path
    c.set('requestId', requestId)
    c.set('scope', scope)
    openScope(context, scope, c.req.raw.headers)
    await next()
    // c.header() would make the response anew, with a stream for its body
    c.res.headers.set('x-request-id', requestId)
    // a connection that is kept would hold up the end
    if (context.isDraining) c.res.headers.set('connection', 'close')
    scope.answered(c.res.status)
  })
}

/** Begins to count, log and trace a request; it is told of when it ends. */
export function openScope(context: ServerContext, scope: RequestScope, headers: Headers): void {
  context.numOpen++
  scope.onEnd(() => {
    context.numOpen--
    context.metrics.observe(scope)
    logRequest(context, scope)
  })
  traceRequest(scope, headers, () => modelLabel(context))
}
