import { setTimeout as pause } from 'node:timers/promises'
import { diskBytes } from '@slipway/engine'
import { SlipwayError } from '@slipway/tensor'
import { requireModel, type ServerContext } from '../context.ts'
import type { ResolvedServerOptions } from '../options.ts'
import { askLine, type LineReply, type LineRequest } from './ask-line.ts'
import { BatchCaller } from './caller.ts'
import { FolderLock } from './folder-lock.ts'
import { BatchJob, type Workshop } from './job.ts'
import { hasEnded, usualKeepSeconds, type ApiBatch, type BatchRecord } from './records.ts'
import { Slots } from './slots.ts'
import { BatchStore } from './store.ts'

type Fetch = (request: Request, caller: BatchCaller) => Response | Promise<Response>

/** Batches of one key that may be under way or wait. */
const maxOpenPerOwner = 100
const sweepMilliseconds = 60_000
/** What a line is set back by, so that it never goes before a request that somebody waits for. */
const batchPriority = 1_000_000

/** The batches of a server: takes them, answers them one after the other for each key, and goes on after a restart. */
export class BatchService {
  readonly store: BatchStore
  readonly #lock: FolderLock
  readonly #width: number
  readonly #slots: Slots
  /** A line that failed with its engine is asked again without others of its kind: one of them may have been the cause. */
  readonly #again = new Slots(1)
  readonly #jobs = new Map<string, BatchJob>()
  readonly #running = new Set<Promise<unknown>>()
  readonly #turns = new Map<string, Promise<unknown>>()
  #checks: Promise<unknown> = Promise.resolve()
  #sweeper: NodeJS.Timeout | undefined
  #workshop: Workshop | undefined
  #isClosed = false

  constructor(
    folder: string,
    { batchDiskBytes, batchMaxConcurrency }: Pick<ResolvedServerOptions, 'batchDiskBytes' | 'batchMaxConcurrency'>,
  ) {
    this.#lock = new FolderLock(folder)
    try {
      this.store = new BatchStore(folder, diskBytes(batchDiskBytes, 'batchDiskBytes'))
    } catch (error) {
      this.#lock.release()
      throw error
    }
    this.#width = batchMaxConcurrency
    this.#slots = new Slots(batchMaxConcurrency)
  }

  /** Goes on with what is open; `fetch` puts requests to the server's own routes. */
  begin(context: ServerContext, fetch: Fetch): void {
    const { log, options, access } = context
    this.#workshop = {
      store: this.store,
      log,
      width: this.#width,
      maxLines: options.batchMaxLines,
      maxLineBytes: options.maxBodyBytes,
      requireModel: (name) => requireModel(context, name),
      untilReady: (signal) => untilReady(context, signal),
      ask: (batch, request, signal) => this.#ask(context, fetch, batch, request, signal),
    }
    for (const batch of this.store.batches.all()) {
      if (hasEnded(batch)) continue
      // who has lost their key must not go on to have answers
      if (batch.owner === '' ? access.isOpen : access.accountOf(batch.owner)) this.#start(batch)
      else log.warn({ batch: batch.api.id }, 'a batch rests: the key that it came with is not known any more')
    }
    const sweep = (): void => {
      this.store.sweep(usualKeepSeconds).catch((error: unknown) => log.error({ err: error }, 'old files stay'))
    }
    sweep()
    this.#sweeper = setInterval(sweep, sweepMilliseconds).unref()
  }

  async create(record: BatchRecord): Promise<ApiBatch> {
    const numOpen = [...this.#jobs.values()].filter(({ owner }) => owner === record.owner).length
    if (numOpen >= maxOpenPerOwner)
      throw new SlipwayError('overload', `${numOpen} batches are under way, as many as may be; try again later`, {
        retryAfter: 60,
      })
    this.store.reserve(0)
    await this.store.batches.set(record)
    this.#start(record)
    return record.api
  }

  /** A batch as it is now. */
  show({ api }: BatchRecord): ApiBatch {
    return this.#jobs.get(api.id)?.api ?? api
  }

  async cancel(record: BatchRecord): Promise<ApiBatch> {
    await this.#jobs.get(record.api.id)?.cancel()
    return this.show(this.store.batches.get(record.api.id)!)
  }

  /** Ends requests under way; the next server takes up their batches. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    clearInterval(this.#sweeper)
    for (const job of this.#jobs.values()) job.halt('stopped')
    while (this.#running.size > 0) await Promise.all(this.#running)
    this.#lock.release()
  }

  #start(record: BatchRecord): void {
    const job = new BatchJob(record, this.#workshop!)
    const { id } = record.api
    this.#jobs.set(id, job)
    const checked = this.#checks.then(() => job.check())
    this.#checks = checked
    const before = this.#turns.get(record.owner)
    const done = checked.then(async (isOpen) => {
      if (!isOpen) return
      await Promise.race([before, job.halted])
      await job.answer()
    })
    const ended = done.finally(() => {
      this.#jobs.delete(id)
      this.#running.delete(ended)
    })
    this.#running.add(ended)
    const turn = Promise.all([before, ended]).then(() => {
      if (this.#turns.get(record.owner) === turn) this.#turns.delete(record.owner)
    })
    this.#turns.set(record.owner, turn)
  }

  async #ask(
    context: ServerContext,
    fetch: Fetch,
    { owner, api }: BatchRecord,
    { url, body }: LineRequest,
    signal: AbortSignal,
  ): Promise<LineReply> {
    const caller = new BatchCaller(context.access.accountOf(owner)?.name)
    let numTries = 0
    const release = await this.#slots.take()
    try {
      return await askLine(
        { url, body: inBackground(body, api.id) },
        {
          signal,
          // others may fill the queue for long, but an engine that is lost with the same line again and again is lost by it
          retries: { busy: 720, lost: 2 },
          fetch: async (request) => {
            const done = numTries++ > 0 ? await this.#again.take() : undefined
            try {
              await untilReady(context, signal)
              return await fetch(request, caller)
            } finally {
              done?.()
            }
          },
        },
      )
    } finally {
      release()
    }
  }
}

/** Behind what somebody waits for, and in no user's name but its own. */
function inBackground(body: LineRequest['body'], batchId: string): LineRequest['body'] {
  // to a route null is nothing as well
  const priority = body['priority'] ?? 0
  const user = body['user'] ?? (body['safety_identifier'] == null ? batchId : undefined)
  // one that is no number is for the route to refuse
  const own = typeof priority === 'number' ? Math.min(Math.max(priority, 0), 2 ** 30) + batchPriority : priority
  return { ...body, priority: own, ...(user !== undefined && { user }) }
}

async function untilReady({ llm }: ServerContext, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && (llm.state !== 'ready' || llm.isSleeping))
    await pause(100, undefined, { signal, ref: false }).catch(() => {})
}
