import { describe, expect, test } from 'vitest'
import { jsonOf, post, useApp, useModel } from './testing/harness.ts'
import { badInput, chatPath, completion, maxBodyBytes, textPath } from './testing/bad-input.ts'

const llm = useModel()
const app = useApp(llm, { maxBodyBytes })

describe('bad input', () => {
  test.each(badInput)(
    '$name: $status',
    async ({ status, message, code, param, path = chatPath, body, init, headers }) => {
      const response =
        body === undefined ? await app.request(path, { method: 'POST', ...init }) : await post(app, path, body, init)
      const { error } = await jsonOf<{ error: Record<string, unknown> }>(response)
      expect({ status: response.status, ...error }).toMatchObject({
        status,
        message: expect.stringContaining(message) as unknown,
        type: 'invalid_request_error',
        ...(code !== undefined && { code }),
        ...(param !== undefined && { param }),
      })
      expect(Object.keys(error).sort()).toEqual(['code', 'message', 'param', 'type'])
      expect(response.headers.get('x-request-id')).toBeTruthy()
      for (const [name, value] of Object.entries(headers ?? {})) expect(response.headers.get(name)).toBe(value)
      // and the server goes on
      expect((await post(app, textPath, { ...completion, max_tokens: 1 })).status).toBe(200)
    },
  )

  test('bytes that are no UTF-8: 400', async () => {
    const body = Buffer.from([...Buffer.from('{"model": "'), 0xff, 0xfe, ...Buffer.from('"}')])
    const headers = { 'content-type': 'application/json' }
    const response = await app.request(chatPath, { method: 'POST', headers, body })
    expect(response.status).toBe(400)
    expect(await jsonOf(response)).toMatchObject({ error: { message: 'the body is not valid UTF-8' } })
  })
})
