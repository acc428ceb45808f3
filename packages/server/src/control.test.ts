import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { LLM } from '@slipway/engine'
import { createApp } from './app.ts'
import { modelName, startModel } from './testing/harness.ts'

const adminKey = 'let-me-in'
let llm: LLM
beforeAll(async () => {
  llm = startModel()
  await llm.ready
})
afterAll(() => llm.close())

const appWith = (key?: string) => createApp(llm, { servedModelNames: [modelName], ...(key && { adminKey: key }) })

describe('the admin key', () => {
  const call = async (app: ReturnType<typeof appWith>, authorization?: string, method = 'POST') => {
    const headers = authorization === undefined ? {} : { authorization }
    return app.request('/reset_prefix_cache', { method, headers })
  }

  test('without one the routes do not exist', async () => {
    const response = await call(appWith(), `Bearer ${adminKey}`)
    expect(response.status).toBe(404)
  })

  test.each([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    'Bearer let-me-i',
    'Bearer let-me-in-',
    'Bearer LET-ME-IN',
    'Basic let-me-in',
    'let-me-in',
    'Bearer let-me-in let-me-in',
  ])('%j does not open', async (authorization) => {
    const response = await call(appWith(adminKey), authorization)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe('Bearer')
    const { error } = (await response.json()) as { error: { type: string; code: string } }
    expect(error).toMatchObject({ type: 'authentication_error', code: 'invalid_api_key' })
  })

  test('the right one opens, whatever the case of the scheme', async () => {
    for (const scheme of ['Bearer', 'bearer']) {
      const response = await call(appWith(adminKey), `${scheme} ${adminKey}`)
      expect(response.status).toBe(200)
    }
    const wrongMethod = await call(appWith(adminKey), `Bearer ${adminKey}`, 'GET')
    expect(wrongMethod.status).toBe(405)
  })

  test('one that no client can send is refused', () => {
    expect(() => appWith('with a space')).toThrow('option adminKey')
  })
})
