import { expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { eventsOf, expectIdle, modelName, post, startModel, untilBusy, useModel } from '../testing/harness.ts'

const chat = { model: modelName, messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 8, ignore_eos: true }
const path = '/v1/chat/completions'

const llm = useModel({ maxNumSeqs: 2 })

type Samples = ReadonlyMap<string, number>

/** Reads the text form by its definition: `name{labels} value`, comments with # in front. */
function parse(text: string): Samples {
  const samples = text
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line): [string, number] => {
      const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line)!
      const others = labels.split(',').filter((label) => label !== '' && !label.startsWith('model_name='))
      return [others.length > 0 ? `${name}{${others.join(',')}}` : name!, Number(value)]
    })
  return new Map(samples)
}

async function scrape(app: ReturnType<typeof createApp>): Promise<Samples> {
  const response = await app.request('/metrics')
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  const text = await response.text()
  expect(text).toContain(`model_name="${modelName}"`)
  return parse(text)
}

test('requests are counted and timed, under the names of vLLM and of FastDeploy', async () => {
  const app = createApp(llm, { servedModelNames: [modelName] })
  const usages: { prompt_tokens: number; completion_tokens: number }[] = []
  for (let i = 0; i < 3; i++) {
    const answer = (await (await post(app, path, { ...chat, seed: i })).json()) as { usage: (typeof usages)[0] }
    usages.push(answer.usage)
  }
  const stream = await post(app, path, { ...chat, stream: true, stream_options: { include_usage: true } })
  usages.push((eventsOf(await stream.text()).at(-2) as { usage: (typeof usages)[0] }).usage)
  expect((await post(app, path, { ...chat, temperature: 9 })).status).toBe(400)
  const prompts = usages.reduce((sum, { prompt_tokens: n }) => sum + n, 0)
  const answers = usages.reduce((sum, { completion_tokens: n }) => sum + n, 0)
  expect(answers).toBe(32)
  await expectIdle(llm)
  const samples = await scrape(app)
  for (const prefix of ['vllm', 'fastdeploy']) {
    expect(samples.get(`${prefix}:prompt_tokens_total`)).toBe(prompts)
    expect(samples.get(`${prefix}:generation_tokens_total`)).toBe(answers)
    for (const name of [
      'time_to_first_token_seconds',
      'e2e_request_latency_seconds',
      'request_queue_time_seconds',
      'request_prefill_time_seconds',
      'request_decode_time_seconds',
      'request_inference_time_seconds',
      'request_prompt_tokens',
      'request_generation_tokens',
    ])
      expect(samples.get(`${prefix}:${name}_count`), name).toBe(4)
    expect(samples.get(`${prefix}:request_generation_tokens_sum`)).toBe(answers)
    expect(samples.get(`${prefix}:request_generation_tokens_bucket{le="5"}`)).toBe(0)
    expect(samples.get(`${prefix}:request_generation_tokens_bucket{le="10"}`)).toBe(4)
    expect(samples.get(`${prefix}:num_requests_running`)).toBe(0)
    expect(samples.get(`${prefix}:num_requests_waiting`)).toBe(0)
  }
  // 8 tokens have 7 gaps
  expect(samples.get('vllm:inter_token_latency_seconds_count')).toBe(4 * 7)
  expect(samples.get('fastdeploy:time_per_output_token_seconds_count')).toBe(4 * 7)
  expect(samples.get('vllm:request_success_total{finished_reason="length"}')).toBe(4)
  expect(samples.get('fastdeploy:request_success_total')).toBe(4)
  expect(samples.get('http_requests_total{method="POST",path="/v1/chat/completions",status_code="200"}')).toBe(4)
  expect(samples.get('http_requests_total{method="POST",path="/v1/chat/completions",status_code="400"}')).toBe(1)
  // the phases add up
  const sum = (name: string): number => samples.get(`vllm:${name}_sum`)!
  const phases = sum('request_queue_time_seconds') + sum('request_inference_time_seconds')
  expect(phases).toBeLessThanOrEqual(sum('e2e_request_latency_seconds'))
  expect(phases).toBeGreaterThan(0.5 * sum('e2e_request_latency_seconds'))
  const first = sum('request_queue_time_seconds') + sum('request_prefill_time_seconds')
  expect(first).toBeLessThanOrEqual(sum('time_to_first_token_seconds'))
  expect(sum('request_decode_time_seconds')).toBeCloseTo(sum('inter_token_latency_seconds'), 6)
})

test('the engine is asked when its metrics are read', async () => {
  const app = createApp(llm, { servedModelNames: [modelName] })
  const abort = new AbortController()
  const init = { headers: { 'content-type': 'application/json' }, signal: abort.signal }
  const before = await scrape(app)
  const long = { ...chat, messages: [{ role: 'user', content: 'one two '.repeat(40) }], max_tokens: 300 }
  const answers = [1, 2, 3, 4].map((seed) => post(app, path, { ...long, seed }, init))
  await untilBusy(llm, 2)
  const during = await scrape(app)
  expect(during.get('vllm:num_requests_running')).toBe(2)
  expect(during.get('vllm:num_requests_waiting')).toBe(2)
  expect(during.get('vllm:kv_cache_usage_perc')).toBeGreaterThan(0)
  expect(during.get('vllm:kv_cache_usage_perc')).toBeLessThanOrEqual(1)
  expect(during.get('slipway_engine_up')).toBe(1)
  expect(during.get('slipway_engine_restarts_total')).toBe(0)
  const load = (await (await app.request('/load')).json()) as object
  expect(load).toEqual({ server_load: 4, running: 2, waiting: 2 })
  abort.abort()
  await Promise.allSettled(answers)
  await expectIdle(llm)
  // the prefix that all share was computed once
  expect((await post(app, path, { ...long, max_tokens: 1 })).status).toBe(200)
  const after = await scrape(app)
  expect(after.get('vllm:request_success_total{finished_reason="abort"}')).toBe(4)
  expect(after.get('vllm:kv_cache_usage_perc')).toBe(0)
  const grown = (name: string): number => after.get(name)! - before.get(name)!
  expect(grown('vllm:prefix_cache_hits_total')).toBeGreaterThan(32)
  expect(grown('vllm:prefix_cache_queries_total')).toBeGreaterThan(grown('vllm:prefix_cache_hits_total'))
  expect(after.get('fastdeploy:prefix_cache_token_num')).toBeGreaterThan(32)
  expect(await (await app.request('/load')).json()).toEqual({ server_load: 0, running: 0, waiting: 0 })
})

test('unknown paths make no series of their own', async () => {
  const app = createApp(llm, { servedModelNames: [modelName] })
  for (let i = 0; i < 50; i++) await app.request(`/scan/${i}`)
  await app.request('/v1/models/nobody')
  const samples = await scrape(app)
  expect(samples.get('http_requests_total{method="GET",path="other",status_code="404"}')).toBe(50)
  expect(samples.get('http_requests_total{method="GET",path="/v1/models/:id{.+}",status_code="404"}')).toBe(1)
  expect([...samples.keys()].filter((name) => name.startsWith('http_requests_total'))).toHaveLength(2)
})

test('preemptions are told', async () => {
  await using roomy = startModel({ maxModelLen: 128 })
  await roomy.ready
  const { kvCacheBytes, numBlocks } = roomy.info
  await using tight = startModel({ maxModelLen: 128, kvCacheMemory: (kvCacheBytes / numBlocks) * 16 })
  await tight.ready
  const app = createApp(tight, { servedModelNames: [modelName] })
  const bodies = Array.from({ length: 8 }, (_, seed) => ({ ...chat, seed, temperature: 1, max_tokens: 80 }))
  const answers = await Promise.all(bodies.map((body) => post(app, path, body)))
  for (const answer of answers) expect(answer.status, await answer.text()).toBe(200)
  const samples = await scrape(app)
  const { numPreemptions } = await expectIdle(tight)
  expect(numPreemptions).toBeGreaterThan(0)
  expect(samples.get('vllm:num_preemptions_total')).toBe(numPreemptions)
})

test('before the model is there, metrics say so', async () => {
  await using loading = startModel()
  const app = createApp(loading, { servedModelNames: [modelName] })
  expect((await scrape(app)).get('slipway_engine_up')).toBe(0)
})
