import { SlipwayError } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { refusal, toApiError, unavailable } from './errors.ts'

describe('toApiError', () => {
  test.each([
    [refusal('bad', { param: 'n', code: 'invalid_value' }), 400, 'invalid_request_error', 'n', 'invalid_value'],
    [new SlipwayError('request', 'bad', { param: 'messages' }), 400, 'invalid_request_error', 'messages', null],
    [new SlipwayError('unsupported', 'no'), 400, 'invalid_request_error', null, null],
    [new SlipwayError('not-found', 'none'), 404, 'invalid_request_error', null, null],
    [new SlipwayError('overload', 'later'), 429, 'rate_limit_error', null, 'rate_limit_exceeded'],
    [unavailable('soon', 'model_loading'), 503, 'server_error', null, 'model_loading'],
  ])('%s', (error, status, type, param, code) => {
    const answer = toApiError(error, 'id')
    expect(answer).toMatchObject({ status, isInternal: false })
    expect(answer.body.error).toEqual({ message: error.message, type, param, code })
  })

  test.each([
    new SlipwayError('internal', 'secret /path'),
    new SlipwayError('device', 'secret'),
    new SlipwayError('checkpoint', 'secret /path'),
    new Error('secret'),
    'secret',
  ])('the text of a fault of ours stays inside: %s', (error) => {
    const answer = toApiError(error, 'id-7')
    expect(answer).toMatchObject({ status: 500, isInternal: true })
    expect(answer.body.error).toMatchObject({ type: 'server_error', param: null, code: 'internal_error' })
    expect(answer.body.error.message).not.toContain('secret')
    expect(answer.body.error.message).toContain('id-7')
  })

  test('headers say when to come back and what is allowed', () => {
    expect(toApiError(new SlipwayError('overload', 'later'), 'id').headers).toEqual({ 'retry-after': '1' })
    expect(toApiError(unavailable('soon', 'x', 3), 'id').headers).toEqual({ 'retry-after': '3' })
    expect(toApiError(refusal('no', { status: 405, allow: 'POST' }), 'id').headers).toEqual({ allow: 'POST' })
    expect(toApiError(refusal('no', { status: 413 }), 'id').headers).toEqual({ connection: 'close' })
  })
})
