import { expect, test } from 'vitest'
import { LLM, miniModelDirectory, serve } from './index.ts'
import { createApp } from './server.ts'

test('a model is served, over a socket or without one', async () => {
  await using llm = await LLM.load(miniModelDirectory, { maxModelLen: 128 })
  const server = await serve(llm, { port: 0, servedModelNames: ['m'] })
  const models = (await (await fetch(`${server.url}/v1/models`)).json()) as object
  const app = createApp(llm, { servedModelNames: ['m'] })
  expect(await (await app.request('/v1/models')).json()).toMatchObject({ data: [{ id: 'm' }] })
  expect(models).toMatchObject({ data: [{ id: 'm' }] })
  await server.close()
})
