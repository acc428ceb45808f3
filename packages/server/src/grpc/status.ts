import { Metadata, status, type ServiceError } from '@grpc/grpc-js'
import type { ApiError } from '../http/errors.ts'

const codes: Readonly<Record<number, status>> = {
  400: status.INVALID_ARGUMENT,
  401: status.UNAUTHENTICATED,
  403: status.PERMISSION_DENIED,
  404: status.NOT_FOUND,
  408: status.DEADLINE_EXCEEDED,
  413: status.RESOURCE_EXHAUSTED,
  429: status.RESOURCE_EXHAUSTED,
  499: status.CANCELLED,
  500: status.INTERNAL,
  503: status.UNAVAILABLE,
}

export function codeOf({ status: httpStatus }: ApiError): status {
  return codes[httpStatus] ?? status.UNKNOWN
}

/** An answer of HTTP as the end of a call: the same message, with what HTTP says beside it as trailing metadata. */
export function serviceError(answer: ApiError, requestId: string): ServiceError {
  const { message, code, param } = answer.body.error
  const metadata = new Metadata()
  metadata.set('x-request-id', requestId)
  if (code !== null) metadata.set('error-code', code)
  if (param !== null) metadata.set('error-param', param)
  const retryAfter = answer.headers['retry-after']
  if (retryAfter !== undefined) metadata.set('retry-after', retryAfter)
  return Object.assign(new Error(message), { code: codeOf(answer), details: message, metadata })
}
