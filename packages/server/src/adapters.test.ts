import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { createApp } from './app.ts'
import { expectIdle, modelName, post, useModel } from './testing/harness.ts'

const folder = fileURLToPath(new URL('../../models/fixtures-adapters/mini/lora-18', import.meta.url))
const prompt = { prompt: 'one two three', temperature: 0, max_tokens: 12, ignore_eos: true }

interface Answer {
  readonly model: string
  readonly choices: readonly { readonly text: string }[]
}

describe('adapters over HTTP', () => {
  const llm = useModel({ enableLora: true, maxLoras: 2 })
  const app = createApp(llm, { servedModelNames: [modelName], runtimeLora: true })

  const complete = async (model: string): Promise<Answer> => {
    const response = await post(app, '/v1/completions', { model, ...prompt })
    expect(response.status).toBe(200)
    return (await response.json()) as Answer
  }
  const change = async (action: 'load' | 'unload', body: object): Promise<[number, unknown]> => {
    const response = await post(app, `/v1/${action}_lora_adapter`, body)
    return [response.status, await response.json()]
  }

  test('are loaded, listed with their model, asked by name, and unloaded', async () => {
    const plain = await complete(modelName)
    expect(await change('load', { lora_name: 'poet', lora_path: folder })).toMatchObject([
      200,
      { id: 'poet', parent: modelName },
    ])
    const list = (await (await app.request('/v1/models')).json()) as { data: object[] }
    expect(list.data).toMatchObject([{ id: modelName }, { id: 'poet', parent: modelName }])
    expect(list.data[0]).not.toHaveProperty('parent')
    expect(await (await app.request('/v1/models/poet')).json()).toMatchObject({ id: 'poet', parent: modelName })

    const [adapted, base] = await Promise.all([complete('poet'), complete(modelName)])
    expect(adapted.model).toBe('poet')
    expect(base.choices[0]!.text).toBe(plain.choices[0]!.text)
    expect(adapted.choices[0]!.text).not.toBe(plain.choices[0]!.text)
    const offline = await llm.generate(
      prompt.prompt,
      { temperature: 0, maxTokens: 12, ignoreEos: true },
      { lora: 'poet' },
    )
    expect(adapted.choices[0]!.text).toBe(offline.outputs[0]!.text)
    const chat = { model: 'poet', messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 4 }
    expect((await post(app, '/v1/chat/completions', chat)).status).toBe(200)

    expect(await change('unload', { lora_name: 'poet' })).toEqual([200, { id: 'poet', object: 'model', deleted: true }])
    const gone = await post(app, '/v1/completions', { model: 'poet', ...prompt })
    expect(gone.status).toBe(404)
    expect(await gone.json()).toMatchObject({ error: { code: 'model_not_found', param: 'model' } })
    await expectIdle(llm)
  })

  test.each<['load' | 'unload', object, number, string]>([
    ['load', { lora_name: 'x' }, 400, 'lora_path'],
    ['load', { lora_name: modelName, lora_path: folder }, 400, 'the name of the model itself'],
    ['load', { lora_name: 'x', lora_path: '/nowhere' }, 400, 'has no adapter_config.json'],
    ['unload', { lora_name: 'x' }, 404, 'there is no adapter "x"'],
  ])('%s %j is refused', async (action, body, status, text) => {
    const [got, answer] = await change(action, body)
    expect(JSON.stringify(answer)).toContain(text.replaceAll('"', '\\"'))
    expect(got).toBe(status)
  })

  test('clients load none unless the server was started so', async () => {
    const closed = createApp(llm, { servedModelNames: [modelName] })
    const response = await post(closed, '/v1/load_lora_adapter', { lora_name: 'poet', lora_path: folder })
    expect(response.status).toBe(403)
    expect(await response.json()).toMatchObject({ error: { code: 'runtime_lora_disabled' } })
  })
})
