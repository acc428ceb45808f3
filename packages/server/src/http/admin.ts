import { createHash, timingSafeEqual } from 'node:crypto'
import type { MiddlewareHandler } from 'hono'
import { refusal } from './errors.ts'

/** Whether the request carries one of the keys as `Authorization: Bearer KEY`; takes as long for any wrong one. */
export function bearsKey(request: Request, keys: readonly string[]): boolean {
  const [, given = ''] = /^Bearer +(\S+) *$/i.exec(request.headers.get('authorization') ?? '') ?? []
  const digest = digestOf(given)
  // all are compared, so that the time does not tell which one it was
  return keys.map((key) => timingSafeEqual(digestOf(key), digest)).includes(true)
}

/** Digests have one length, which `timingSafeEqual` wants, and tell nothing of how much was right. */
function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** Lets only those pass who have the admin key. Without such a key, leave the routes out: then they do not exist. */
export function adminOnly(key: string): MiddlewareHandler {
  return async (c, next) => {
    if (!bearsKey(c.req.raw, [key]))
      throw refusal('this route needs the admin key: send "Authorization: Bearer KEY"', {
        status: 401,
        code: 'invalid_api_key',
      })
    await next()
  }
}
