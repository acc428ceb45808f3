import type { RequestRecord } from '@slipway/engine'
import type { Families } from './families.ts'
import type { RequestScope } from './request-scope.ts'
import { timesOf } from './times.ts'

/** Seconds to a first token, of a prompt or of a whole answer. */
const latencies = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 5, 7.5, 10, 15, 20, 30, 60, 120, 240, 480, 960, 1920,
]
/** Seconds from token to token. */
const intervals = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 10]
/** Numbers of tokens: 1, 2, 5 of every power of ten. */
const counts = [1, 10, 100, 1000, 10_000, 100_000].flatMap((power) => [power, 2 * power, 5 * power])

/** Metrics of requests, told by each when it ends. */
export function requestMetrics(families: Families): (scope: RequestScope) => void {
  const same = (name: string): { vllm: string; fastdeploy: string } => ({ vllm: name, fastdeploy: name })
  const httpRequests = families.counter({ plain: 'http_requests_total' }, 'HTTP requests answered', [
    'method',
    'path',
    'status_code',
  ])
  const httpSeconds = families.histogram(
    { plain: 'http_request_duration_seconds' },
    'Time from the head of a request to the last byte of its answer',
    latencies,
  )
  const success = families.counter(
    { vllm: 'request_success_total' },
    'Completions that ended, by the reason they ended for',
    ['finished_reason'],
  )
  const numDone = families.counter({ fastdeploy: 'request_success_total' }, 'Completions that ended as they should')
  const numRequests = families.counter({ fastdeploy: 'requests_number' }, 'Generations that the engine was given')
  const promptTotal = families.counter(same('prompt_tokens_total'), 'Tokens of prompts')
  const answerTotal = families.counter(same('generation_tokens_total'), 'Tokens generated')
  const cachedTotal = families.counter(
    { fastdeploy: 'prefix_cache_token_num' },
    'Tokens of prompts that the prefix cache had',
  )
  const promptTokens = families.histogram(same('request_prompt_tokens'), 'Tokens of a prompt', counts)
  const answerTokens = families.histogram(same('request_generation_tokens'), 'Tokens generated for a request', counts)
  const completions = families.histogram({ vllm: 'request_params_n' }, 'Completions asked for', [1, 2, 5, 10, 20])
  const firstToken = families.histogram(
    same('time_to_first_token_seconds'),
    'Time from submission to the first token',
    latencies,
  )
  const interToken = families.histogram(
    { vllm: 'inter_token_latency_seconds', fastdeploy: 'time_per_output_token_seconds' },
    'Time from a token to the next one',
    intervals,
  )
  const perToken = families.histogram(
    { vllm: 'request_time_per_output_token_seconds' },
    'Mean time from token to token of a request',
    intervals,
  )
  const wholeTime = families.histogram(
    same('e2e_request_latency_seconds'),
    'Time from submission to the end of a request',
    latencies,
  )
  const queueTime = families.histogram(same('request_queue_time_seconds'), 'Time that a request waited', latencies)
  const prefillTime = families.histogram(
    same('request_prefill_time_seconds'),
    'Time from the begin of computing to the first token',
    latencies,
  )
  const decodeTime = families.histogram(
    same('request_decode_time_seconds'),
    'Time from the first token to the last',
    latencies,
  )
  const inferenceTime = families.histogram(
    same('request_inference_time_seconds'),
    'Time from the begin of computing to the last token',
    latencies,
  )

  const observe = (stream: RequestRecord): void => {
    const { usage, finishReasons, timing } = stream
    numRequests(1)
    promptTotal(usage.promptTokens)
    answerTotal(usage.completionTokens)
    cachedTotal(usage.cachedTokens)
    promptTokens(usage.promptTokens)
    answerTokens(usage.completionTokens)
    completions(finishReasons.length)
    for (const reason of finishReasons) {
      success(1, { finished_reason: reason })
      if (reason === 'stop' || reason === 'length') numDone(1)
    }
    for (const gap of timing.gaps) interToken(gap / 1000)
    const times = timesOf(stream)
    wholeTime(times.total)
    if (times.firstToken !== undefined) firstToken(times.firstToken)
    if (times.queued !== undefined) queueTime(times.queued)
    if (times.prefill !== undefined) prefillTime(times.prefill)
    if (times.decode !== undefined) decodeTime(times.decode)
    if (times.inference !== undefined) inferenceTime(times.inference)
    if (times.perToken !== undefined) perToken(times.perToken)
  }

  return ({ method, route, status, startedAt, streams }) => {
    httpRequests(1, { method, path: route, status_code: status })
    httpSeconds((performance.now() - startedAt) / 1000)
    for (const stream of streams) observe(stream)
  }
}
