import type { Context } from 'hono'
import { z } from 'zod'
import type { ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { batchRoutes } from './ask-line.ts'
import { limitUpTo, pageOf } from './list.ts'
import { hasEnded, usualKeepSeconds } from './records.ts'
import { batchesFor, owned, requireOpen } from './scope.ts'
import { newId } from './store.ts'

const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 }
const maxWindowSeconds = 14 * 86_400

export const createSchema = z
  .strictObject({
    input_file_id: z.string(),
    endpoint: z.enum(batchRoutes, { error: `must be one of ${batchRoutes.join(', ')}` }),
    completion_window: z
      .string()
      .regex(/^[1-9]\d{0,6}[smhd]$/, 'must be a time such as 24h')
      .refine((text) => windowSeconds(text) <= maxWindowSeconds, 'must be at most 14d'),
    metadata: z
      .record(z.string().max(64, 'names have at most 64 characters'), z.string().max(512))
      .refine((entries) => Object.keys(entries).length <= 16, 'has at most 16 entries')
      .optional(),
    output_expires_after: z
      .strictObject({ anchor: z.literal('created_at'), seconds: z.int().min(3600).max(2_592_000) })
      .optional(),
  })
  .meta({ title: 'BatchRequest' })

function windowSeconds(text: string): number {
  return Number(text.slice(0, -1)) * secondsOf[text.at(-1)!]!
}

/** POST /v1/batches */
export async function postBatches(
  c: Context<ServerEnv>,
  context: ServerContext,
  { input_file_id, endpoint, completion_window, metadata, output_expires_after }: z.output<typeof createSchema>,
): Promise<Response> {
  const { batches, owner } = batchesFor(c, context)
  requireOpen(context)
  const input = owned(batches.store.files, input_file_id, owner, 'file', 'input_file_id')
  if (input.api.purpose !== 'batch')
    throw refusal('input_file_id: the file holds answers; name one with the purpose "batch"', {
      param: 'input_file_id',
    })
  const order = batches.store.nextOrder()
  const created_at = Math.floor(order / 1000)
  const api = {
    id: newId('batch_'),
    object: 'batch',
    endpoint,
    errors: null,
    input_file_id,
    completion_window,
    status: 'validating',
    output_file_id: null,
    error_file_id: null,
    created_at,
    in_progress_at: null,
    expires_at: created_at + windowSeconds(completion_window),
    finalizing_at: null,
    completed_at: null,
    failed_at: null,
    expired_at: null,
    cancelling_at: null,
    cancelled_at: null,
    request_counts: { total: 0, completed: 0, failed: 0 },
    metadata: metadata ?? null,
  } as const
  const keepSeconds = output_expires_after?.seconds ?? usualKeepSeconds
  const files = { outputId: newId('file-'), errorId: newId('file-') }
  return c.json(await batches.create({ owner, order, api, ...files, keepSeconds }))
}

export const batchListSchema = z.strictObject({ limit: limitUpTo(100, 20), after: z.string().optional() })

/** GET /v1/batches: the youngest first. */
export function getBatches(
  c: Context<ServerEnv>,
  context: ServerContext,
  range: z.output<typeof batchListSchema>,
): Response {
  const { batches, owner } = batchesFor(c, context)
  const own = batches.store.batches.all().filter((batch) => batch.owner === owner)
  const found = own.map((batch) => batches.show(batch)).toReversed()
  return c.json(pageOf(found, range))
}

/** GET /v1/batches/:id */
export function getBatch(c: Context<ServerEnv>, context: ServerContext): Response {
  const { batches, owner } = batchesFor(c, context)
  return c.json(batches.show(owned(batches.store.batches, c.req.param('id') ?? '', owner, 'batch')))
}

/** POST /v1/batches/:id/cancel */
export async function postCancelBatch(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { batches, owner } = batchesFor(c, context)
  requireOpen(context)
  const batch = owned(batches.store.batches, c.req.param('id') ?? '', owner, 'batch')
  if (hasEnded(batch))
    throw refusal(`the batch cannot be cancelled: it is ${batch.api.status}`, { code: 'batch_ended' })
  return c.json(await batches.cancel(batch))
}
