import { SlipwayError } from '@slipway/tensor'
import type { Context } from 'hono'
import type { ServerContext } from '../context.ts'
import { refusal, unavailable } from '../http/errors.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { BatchRecord, FileRecord } from './records.ts'
import type { BatchService } from './service.ts'

/** The batches of this server; throws where it keeps none. */
export function requireBatches({ batches }: ServerContext): BatchService {
  if (batches) return batches
  throw refusal('this server keeps no files and batches; start it with --batch-directory', {
    status: 403,
    code: 'batches_disabled',
  })
}

/** The batches of this server, and whose they are that asks. */
export function batchesFor(
  c: Context<ServerEnv>,
  context: ServerContext,
): { readonly batches: BatchService; readonly owner: string } {
  return { batches: requireBatches(context), owner: context.access.ownerOf(c.get('scope').account) }
}

/** Throws once the server ends: what came now would be nobody's. */
export function requireOpen({ isDraining }: ServerContext): void {
  if (isDraining) throw unavailable('the server is shutting down', 'shutting_down')
}

/** The file or batch of that id, if it is the owner's; others do not exist for them. */
export function owned<R extends FileRecord | BatchRecord>(
  folder: { get(id: string): R | undefined },
  id: string,
  owner: string,
  what: 'file' | 'batch',
  param?: string,
): R {
  const record = folder.get(id)
  if (record && record.owner === owner) return record
  throw new SlipwayError('not-found', `there is no ${what} "${id.slice(0, 64)}"`, {
    code: `${what}_not_found`,
    ...(param !== undefined && { param }),
  })
}
