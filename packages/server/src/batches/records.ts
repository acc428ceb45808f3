import { z } from 'zod'

const unixSeconds = z.int().min(0)
const count = z.int().min(0)

/** A file as the API shows it. Times are Unix seconds, as all here. */
export const fileSchema = z
  .strictObject({
    id: z.string(),
    object: z.literal('file'),
    bytes: count,
    created_at: unixSeconds,
    expires_at: unixSeconds,
    filename: z.string(),
    purpose: z.enum(['batch', 'batch_output']),
    status: z.literal('processed'),
  })
  .meta({ title: 'File' })
export type ApiFile = Readonly<z.infer<typeof fileSchema>>

const batchErrorSchema = z.strictObject({
  code: z.string().nullable(),
  message: z.string(),
  param: z.string().nullable(),
  line: count.nullable().describe("from 1 on; null where it is no line's fault"),
})
export type BatchError = Readonly<z.infer<typeof batchErrorSchema>>

const ends = ['completed', 'failed', 'expired', 'cancelled'] as const

/** A batch as the API shows it. */
export const batchSchema = z
  .strictObject({
    id: z.string(),
    object: z.literal('batch'),
    endpoint: z.string(),
    errors: z.strictObject({ object: z.literal('list'), data: z.array(batchErrorSchema).readonly() }).nullable(),
    input_file_id: z.string(),
    completion_window: z.string(),
    status: z.enum(['validating', 'in_progress', 'finalizing', 'cancelling', ...ends]),
    output_file_id: z.string().nullable(),
    error_file_id: z.string().nullable(),
    created_at: unixSeconds,
    in_progress_at: unixSeconds.nullable(),
    expires_at: unixSeconds,
    finalizing_at: unixSeconds.nullable(),
    completed_at: unixSeconds.nullable(),
    failed_at: unixSeconds.nullable(),
    expired_at: unixSeconds.nullable(),
    cancelling_at: unixSeconds.nullable(),
    cancelled_at: unixSeconds.nullable(),
    request_counts: z.strictObject({ total: count, completed: count, failed: count }),
    metadata: z.record(z.string(), z.string()).nullable(),
  })
  .meta({ title: 'Batch' })
export type ApiBatch = Readonly<z.infer<typeof batchSchema>>

interface Owned {
  /** Of the key that it belongs to; empty where the server asks for none. */
  readonly owner: string
  /** Milliseconds of its making, unlike those of any other: the order of lists. */
  readonly order: number
}

export interface FileRecord extends Owned {
  readonly api: ApiFile
}

export interface BatchRecord extends Owned {
  readonly api: ApiBatch
  /** Files that hold answers while the batch is under way, and are shown when it has ended. */
  readonly outputId: string
  readonly errorId: string
  /** How long these are kept. */
  readonly keepSeconds: number
}

export function hasEnded({ api }: BatchRecord): boolean {
  return (ends as readonly string[]).includes(api.status)
}

export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}

/** Days that files and batches are kept, as at OpenAI. */
export const usualKeepSeconds = 30 * 86_400
