import type { Metadata } from '@grpc/grpc-js'
import { answerTo, type ServerContext } from '../context.ts'
import type { ApiError } from '../http/errors.ts'
import { RequestScope } from '../observe/request-scope.ts'
import { openScope } from '../observe/with-scope.ts'

/** Who may call: everybody, holders of a key, or these as far as their limits go. */
export type Admission = 'open' | 'known' | 'counted'

export interface Caller {
  readonly route: string
  readonly requestId: string
  readonly headers: Headers
  /** Aborted when the client goes or its deadline has passed. */
  readonly signal: AbortSignal
}

/** An error with its form over HTTP, which is that of the log and the metrics as well. */
export class Refused extends Error {
  readonly answer: ApiError

  constructor(answer: ApiError) {
    super(answer.body.error.message)
    this.answer = answer
  }
}

/** Runs one request as HTTP does: let in by its key, counted, logged, traced. Throws only `Refused`. */
export async function inScope<T>(
  context: ServerContext,
  admission: Admission,
  { route, requestId, headers }: Caller,
  work: (scope: RequestScope) => T | Promise<T>,
): Promise<T> {
  const scope = new RequestScope(requestId, 'GRPC')
  scope.route = route
  openScope(context, scope, headers)
  try {
    const account = admission === 'open' ? undefined : context.access.identify(headers)
    scope.account = account
    if (account && admission === 'counted') scope.onEnd(account.begin())
    const result = await work(scope)
    scope.answered(200)
    return result
  } catch (error) {
    const answer = answerTo(error, context, requestId)
    scope.answered(answer.status)
    throw new Refused(answer)
  }
}

/** Metadata as headers; binary ones mean nothing here. */
export function headersOf(metadata: Metadata): Headers {
  const headers = new Headers()
  for (const [name, value] of Object.entries(metadata.getMap()))
    if (typeof value === 'string' && !name.startsWith(':')) headers.set(name, value)
  return headers
}
