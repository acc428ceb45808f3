import { z } from 'zod'
import { parseOptions } from './options.ts'

/** What can be asked of one request's way through the engine. None of it changes a bit of the answer. */
export interface SchedulingOptions {
  /** Lower goes first, and takes the place of higher ones when there is none; default 0. */
  readonly priority?: number | undefined
  /** On whose behalf: users get equal shares of the engine, whoever sends more. */
  readonly user?: string | undefined
  /** Seconds from submission after which the request ends with `timeout`, wherever it is. */
  readonly timeout?: number | undefined
  /** Only requests with the same salt share cached prefixes, so that nobody else can time what is cached. */
  readonly cacheSalt?: string | undefined
}

const schema = z.strictObject({
  priority: z
    .int()
    .min(-(2 ** 31))
    .max(2 ** 31 - 1)
    .default(0),
  user: z.string().max(512).default(''),
  timeout: z.number().positive().max(86_400).optional(),
  cacheSalt: z.string().max(512).default(''),
})

export type ResolvedScheduling = Readonly<z.output<typeof schema>>

/** Fills in defaults; a `request` error names the option at fault. */
export function resolveScheduling({ priority, user, timeout, cacheSalt }: SchedulingOptions): ResolvedScheduling {
  return parseOptions(schema, { priority, user, timeout, cacheSalt }, 'parameter')
}
