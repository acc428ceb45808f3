import { trace } from '@opentelemetry/api'
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { propagation } from '@opentelemetry/api'
import { expect, test } from 'vitest'
import { createApp } from '../app.ts'
import { expectIdle, modelName, post, useModel } from '../testing/harness.ts'

const exporter = new InMemorySpanExporter()
const chat = { model: modelName, messages: [{ role: 'user', content: 'Hello!' }], max_tokens: 5, ignore_eos: true }

const llm = useModel()

test('without an SDK nothing is traced; with one, requests and their phases are', async () => {
  const app = createApp(llm, { servedModelNames: [modelName] })
  expect((await post(app, '/v1/chat/completions', chat)).status).toBe(200)

  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }))
  // the header of W3C, as a propagator of an SDK reads it
  propagation.setGlobalPropagator({
    inject: () => {},
    fields: () => ['traceparent'],
    extract(context, carrier, getter) {
      const [, traceId = '', spanId = ''] = String(getter.get(carrier, 'traceparent') ?? '').split('-')
      return traceId ? trace.setSpanContext(context, { traceId, spanId, traceFlags: 1, isRemote: true }) : context
    },
  })
  const traceId = '0af7651916cd43dd8448eb211c80319c'
  const headers = { 'content-type': 'application/json', traceparent: `00-${traceId}-b7ad6b7169203331-01` }
  const answer = await post(app, '/v1/chat/completions', { ...chat, stream: true }, { headers })
  await answer.text()
  await expectIdle(llm)

  const spans = exporter.getFinishedSpans()
  expect(spans.map(({ name }) => name).sort()).toEqual([
    'POST /v1/chat/completions',
    'decode',
    'generate',
    'prefill',
    'queue',
  ])
  const of = (name: string) => spans.find((span) => span.name === name)!
  const root = of('POST /v1/chat/completions')
  expect(spans.every((span) => span.spanContext().traceId === traceId)).toBe(true)
  expect(root.parentSpanContext?.spanId).toBe('b7ad6b7169203331')
  expect(root.attributes).toMatchObject({
    'http.route': '/v1/chat/completions',
    'http.response.status_code': 200,
    'slipway.request_id': answer.headers.get('x-request-id'),
    'gen_ai.request.model': modelName,
  })
  expect(of('generate').attributes).toMatchObject({
    'gen_ai.usage.output_tokens': 5,
    'gen_ai.response.finish_reasons': ['length'],
  })
  expect(of('generate').parentSpanContext?.spanId).toBe(root.spanContext().spanId)
  const seconds = ([whole, nano]: readonly [number, number]): number => whole + nano / 1e9
  const phases = ['queue', 'prefill', 'decode'].map(of)
  for (const phase of phases) {
    expect(phase.parentSpanContext?.spanId).toBe(of('generate').spanContext().spanId)
    expect(seconds(phase.startTime)).toBeGreaterThanOrEqual(seconds(of('generate').startTime) - 0.001)
    expect(seconds(phase.endTime)).toBeLessThanOrEqual(seconds(of('generate').endTime) + 0.001)
  }
  trace.disable()
  propagation.disable()
})
