import { destination, pino, type Logger } from 'pino'
import type { ServerContext } from '../context.ts'
import type { ResolvedServerOptions } from '../options.ts'
import type { RequestScope } from './request-scope.ts'
import { timesOf } from './times.ts'

/** JSON lines on standard error. */
export function createLog({ logLevel }: Pick<ResolvedServerOptions, 'logLevel'>): Logger {
  return pino({ level: logLevel, base: null, timestamp: () => `,"time":"${new Date().toISOString()}"` }, toStderr())
}

/** Written at once: the last line before an end is the one that matters. */
function toStderr() {
  return destination({ dest: 2, sync: true })
}

/**
 * The one line of a request: what it was, what it came to, and where its time went. The text of prompts only where the
 * options ask for it, that of answers never.
 */
export function logRequest(
  { log, llm, options }: Pick<ServerContext, 'log' | 'llm' | 'options'>,
  scope: RequestScope,
): void {
  if (!log.isLevelEnabled('info')) return
  const { requestId, method, route, status, account, streams, startedAt } = scope
  const facts = { requestId, method, route, status, ms: round(performance.now() - startedAt) }
  const sum = (of: (stream: (typeof streams)[number]) => number): number =>
    streams.reduce((total, stream) => total + of(stream), 0)
  log.info(
    {
      ...facts,
      ...(account && { key: account.name }),
      ...(streams.length > 0 && {
        generations: streams.map((stream) => stream.requestId),
        promptTokens: sum(({ usage }) => usage.promptTokens),
        cachedTokens: sum(({ usage }) => usage.cachedTokens),
        completionTokens: sum(({ usage }) => usage.completionTokens),
        finishReasons: streams.flatMap(({ finishReasons }) => finishReasons),
        ...(options.logPrompts && {
          prompts: streams.map(({ promptTokenIds }) =>
            llm.tokenizer.decode(promptTokenIds, { skipSpecialTokens: false }),
          ),
        }),
        times: streams.map((stream) => timesOf(stream)).map(inMilliseconds),
      }),
    },
    'request',
  )
}

function inMilliseconds(times: ReturnType<typeof timesOf>): Record<string, number> {
  const given = Object.entries(times).flatMap(([name, seconds]): [string, number][] =>
    typeof seconds === 'number' ? [[name, round(seconds * 1000)]] : [],
  )
  return Object.fromEntries(given)
}

function round(milliseconds: number): number {
  return Math.round(milliseconds * 10) / 10
}
