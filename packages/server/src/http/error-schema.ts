import { z } from 'zod'

/** The error object of the OpenAI API. */
export const apiErrorSchema = z
  .strictObject({
    error: z.strictObject({
      message: z.string(),
      type: z.enum(['invalid_request_error', 'rate_limit_error', 'timeout_error', 'server_error']),
      param: z.string().nullable().describe('the parameter at fault'),
      code: z.string().nullable(),
    }),
  })
  .meta({ title: 'Error' })

export type ApiErrorBody = z.output<typeof apiErrorSchema>
