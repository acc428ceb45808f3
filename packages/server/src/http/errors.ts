import { SlipwayError, type ErrorDetails, type ErrorKind } from '@slipway/tensor'
import type { ApiErrorBody } from './error-schema.ts'

export interface ApiError {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ApiErrorBody
  /** A fault that no client can mend: its text stays in the log. */
  readonly isInternal: boolean
}

/** An error that the client can mend; `details` may set `param`, `code` and a `status` other than 400. */
export function refusal(message: string, details: ErrorDetails = {}): SlipwayError {
  return new SlipwayError('request', message, details)
}

/** The server cannot answer now, but will: 503 with a time to wait. */
export function unavailable(message: string, code: string, retryAfter = 5): SlipwayError {
  return new SlipwayError('overload', message, { status: 503, code, retryAfter })
}

const statuses: Readonly<Partial<Record<ErrorKind, number>>> = {
  request: 400,
  unsupported: 400,
  'not-found': 404,
  overload: 429,
}

const types: Readonly<Record<number, ApiErrorBody['error']['type']>> = {
  408: 'timeout_error',
  429: 'rate_limit_error',
  500: 'server_error',
  503: 'server_error',
}
const codes: Readonly<Record<number, string>> = { 429: 'rate_limit_exceeded', 500: 'internal_error' }

/** The HTTP form of anything thrown. What is no SlipwayError, or one of our own faults, is 500 without its text. */
export function toApiError(error: unknown, requestId: string): ApiError {
  const details = SlipwayError.is(error) ? error.details : {}
  const status = (SlipwayError.is(error) && (numberOf(details['status']) ?? statuses[error.kind])) || 500
  const isInternal = status === 500
  const message = isInternal
    ? `the server failed to answer; its log tells more under request ${requestId}`
    : (error as SlipwayError).message
  const param = textOf(details['param']) ?? null
  const retryAfter = numberOf(details['retryAfter']) ?? (status === 429 ? 1 : undefined)
  const allow = textOf(details['allow'])
  return {
    status,
    isInternal,
    headers: {
      ...(retryAfter !== undefined && { 'retry-after': String(retryAfter) }),
      ...(allow !== undefined && { allow }),
      ...(status === 401 && { 'www-authenticate': 'Bearer' }),
      // clients of OpenAI's would do the same work once more, unasked
      ...(status === 408 && { 'x-should-retry': 'false' }),
      // the rest of a body that was refused is not worth reading
      ...(status === 413 && { connection: 'close' }),
    },
    body: {
      error: {
        message,
        type: types[status] ?? 'invalid_request_error',
        param,
        code: textOf(details['code']) ?? codes[status] ?? null,
      },
    },
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function numberOf(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}
