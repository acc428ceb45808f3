import { Agent } from 'node:http'
import { expect, test } from 'vitest'
import { serve } from './index.ts'
import { expectIdle, modelName, startModel } from './testing/harness.ts'
import { metricOf, soak } from './testing/soak.ts'

// The long form, with the memory of a server of its own: node scripts/soak.mjs

test('400 requests, some left, bad or too large: every answer is what it is alone, and no block is lost', async () => {
  await using llm = startModel()
  await llm.ready
  const errors: unknown[] = []
  const server = await serve(llm, {
    port: 0,
    servedModelNames: [modelName],
    maxBodyBytes: 20_000,
    onInternalError: (error) => errors.push(error),
  })
  const agent = new Agent({ keepAlive: true })
  const { url } = server
  const result = await soak({ url, agent, model: modelName, numRequests: 400, concurrency: 8, maxBodyBytes: 20_000 })
  expect(result.faults).toEqual([])
  expect(result).toMatchObject({ good: 320, left: 40, bad: 20, oversized: 20 })
  await expectIdle(llm)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const status = (code: number): number =>
    metricOf(
      metrics.replaceAll(
        /^(http_requests_total)\{(.*)\}/gm,
        (_, name, labels: string) => `${name}${/status_code="(\d+)"/.exec(labels)![1]}{}`,
      ),
      `http_requests_total${code}`,
    )
  // with those that were asked alone first; clients that left may have gone before their request came
  expect(status(200)).toBeGreaterThanOrEqual(320 + 24)
  expect(status(200)).toBeLessThanOrEqual(320 + 24 + 40)
  expect(status(400) + status(404) + status(413)).toBe(40)
  expect(metricOf(metrics, 'vllm:num_requests_running')).toBe(0)
  expect(errors).toEqual([])
  agent.destroy()
  expect(await server.close()).toBe(true)
}, 120_000)
