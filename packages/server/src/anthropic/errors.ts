import { z } from 'zod'
import type { ApiError } from '../http/errors.ts'

const typeNames = [
  'api_error',
  'authentication_error',
  'invalid_request_error',
  'not_found_error',
  'overloaded_error',
  'permission_error',
  'rate_limit_error',
  'request_too_large',
  'timeout_error',
] as const

/** The error object of the Anthropic API. */
export const anthropicErrorSchema = z
  .strictObject({
    type: z.literal('error'),
    error: z.strictObject({ type: z.enum(typeNames), message: z.string() }),
    request_id: z.string(),
  })
  .meta({ title: 'MessagesError' })

type AnthropicErrorBody = z.output<typeof anthropicErrorSchema>

const types: Readonly<Record<number, (typeof typeNames)[number]>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  408: 'timeout_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
}

/** True for paths whose clients expect errors in Anthropic's form. */
export function isAnthropicPath(path: string): boolean {
  return path === '/v1/messages' || path.startsWith('/v1/messages/')
}

export function anthropicError({ status, body }: ApiError, requestId: string): AnthropicErrorBody {
  const type = types[status] ?? (status >= 500 ? 'api_error' : 'invalid_request_error')
  return { type: 'error', error: { type, message: body.error.message }, request_id: requestId }
}
