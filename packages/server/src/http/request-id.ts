import { randomUUID } from 'node:crypto'
import type { RequestScope } from '../observe/request-scope.ts'

/** What handlers find in their context. */
export interface ServerEnv {
  Variables: { requestId: string; scope: RequestScope }
}

/** The `x-request-id` of a request, or a new one if there is none that is safe to log. */
export function requestIdOf(headers: Headers): string {
  const given = headers.get('x-request-id')
  return given !== null && /^[\w.:-]{1,128}$/.test(given) ? given : randomUUID()
}
