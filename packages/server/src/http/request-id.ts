import { randomUUID } from 'node:crypto'
import { createMiddleware } from 'hono/factory'

/** What handlers find in their context. */
export interface ServerEnv {
  Variables: { requestId: string }
}

/** Gives every answer the `x-request-id` of its request, or a new one if there is none that is safe to log. */
export const withRequestId = createMiddleware<ServerEnv>(async (c, next) => {
  const given = c.req.header('x-request-id')
  const id = given !== undefined && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID()
  c.set('requestId', id)
  await next()
  c.header('x-request-id', id)
})
