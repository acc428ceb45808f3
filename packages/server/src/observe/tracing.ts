import { context, propagation, SpanKind, SpanStatusCode, trace, type Span } from '@opentelemetry/api'
import type { RequestRecord } from '@slipway/engine'
import type { RequestScope } from './request-scope.ts'
import { timesOf } from './times.ts'

// Spans for whoever registers an SDK of OpenTelemetry; without one, all of this does nothing.

const getter = {
  keys: (headers: Headers) => [...headers.keys()],
  get: (headers: Headers, key: string) => headers.get(key) ?? undefined,
}

/** A span for one HTTP request, below the one that its `traceparent` names; ends with the request. */
export function traceRequest(scope: RequestScope, headers: Headers, modelName: () => string): void {
  const tracer = trace.getTracer('slipway')
  const outer = propagation.extract(context.active(), headers, getter)
  const span = tracer.startSpan(scope.method, { kind: SpanKind.SERVER }, outer)
  if (!span.isRecording()) return
  const origin = Date.now() - performance.now()
  scope.onEnd(() => {
    span.updateName(`${scope.method} ${scope.route}`)
    span.setAttributes({
      'http.request.method': scope.method,
      'http.route': scope.route,
      'http.response.status_code': scope.status,
      'slipway.request_id': scope.requestId,
      ...(scope.streams.length > 0 && { 'gen_ai.request.model': modelName() }),
    })
    if (scope.status >= 500) span.setStatus({ code: SpanStatusCode.ERROR })
    for (const stream of scope.streams) traceGeneration(stream, span, origin)
    span.end()
  })
}

/** A span for a generation, with its phases below; `origin` turns performance.now() into Unix milliseconds. */
function traceGeneration(stream: RequestRecord, parent: Span, origin: number): void {
  const tracer = trace.getTracer('slipway')
  const { timing, usage, finishReasons } = stream
  const start = origin + timing.submittedAt
  const span = tracer.startSpan('generate', { startTime: start }, trace.setSpan(context.active(), parent))
  const times = timesOf(stream)
  const phase = (name: string, begin: number, seconds: number | undefined): void => {
    if (seconds === undefined) return
    const inner = tracer.startSpan(name, { startTime: begin }, trace.setSpan(context.active(), span))
    inner.end(begin + seconds * 1000)
  }
  const { queued = 0 } = times
  phase('queue', start, times.queued)
  phase('prefill', start + queued * 1000, times.prefill)
  phase('decode', origin + (timing.firstTokenAt ?? 0), times.decode)
  span.setAttributes({
    'gen_ai.response.id': stream.requestId,
    'gen_ai.usage.input_tokens': usage.promptTokens,
    'gen_ai.usage.output_tokens': usage.completionTokens,
    'gen_ai.response.finish_reasons': finishReasons,
    'slipway.cached_tokens': usage.cachedTokens,
  })
  if (finishReasons.includes('error')) span.setStatus({ code: SpanStatusCode.ERROR })
  span.end(origin + (timing.endedAt ?? performance.now()))
}
