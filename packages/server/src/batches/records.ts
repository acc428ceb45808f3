/** A file as the API shows it. */
export interface ApiFile {
  readonly id: string
  readonly object: 'file'
  readonly bytes: number
  /** Unix seconds, as all times here. */
  readonly created_at: number
  readonly expires_at: number
  readonly filename: string
  readonly purpose: 'batch' | 'batch_output'
  readonly status: 'processed'
}

export type BatchStatus =
  | 'validating'
  | 'failed'
  | 'in_progress'
  | 'finalizing'
  | 'completed'
  | 'expired'
  | 'cancelling'
  | 'cancelled'

export interface BatchError {
  readonly code: string | null
  readonly message: string
  readonly param: string | null
  /** From 1 on; null where it is no line's fault. */
  readonly line: number | null
}

/** A batch as the API shows it. */
export interface ApiBatch {
  readonly id: string
  readonly object: 'batch'
  readonly endpoint: string
  readonly errors: { readonly object: 'list'; readonly data: readonly BatchError[] } | null
  readonly input_file_id: string
  readonly completion_window: string
  readonly status: BatchStatus
  readonly output_file_id: string | null
  readonly error_file_id: string | null
  readonly created_at: number
  readonly in_progress_at: number | null
  readonly expires_at: number
  readonly finalizing_at: number | null
  readonly completed_at: number | null
  readonly failed_at: number | null
  readonly expired_at: number | null
  readonly cancelling_at: number | null
  readonly cancelled_at: number | null
  readonly request_counts: { readonly total: number; readonly completed: number; readonly failed: number }
  readonly metadata: Readonly<Record<string, string>> | null
}

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

const ends: readonly BatchStatus[] = ['completed', 'failed', 'expired', 'cancelled']

export function hasEnded({ api }: BatchRecord): boolean {
  return ends.includes(api.status)
}

export function unixNow(): number {
  return Math.floor(Date.now() / 1000)
}

/** Days that files and batches are kept, as at OpenAI. */
export const usualKeepSeconds = 30 * 86_400
