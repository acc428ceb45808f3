import { diskBytes } from '@slipway/engine'
import type { Context } from 'hono'
import { z } from 'zod'
import type { ServerContext } from '../context.ts'
import { refusal } from '../http/errors.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { limitUpTo, pageOf } from './list.ts'
import { boundaryOf, multipart, textOf } from './multipart.ts'
import { unixNow, usualKeepSeconds } from './records.ts'
import { batchesFor, owned, requireOpen } from './scope.ts'

/** What a form may be longer than its file. */
const maxFormBytes = 65_536
const maxNameLength = 255

/** POST /v1/files: a form with a file, which goes to the disk as it comes. */
export async function postFiles(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { batches, owner } = batchesFor(c, context)
  const { headers, body } = c.req.raw
  requireOpen(context)
  requireOwnPage(c, context)
  const maxBytes = diskBytes(context.options.batchFileBytes, 'batchFileBytes')
  const boundary = boundaryOf(headers.get('content-type'))
  if (Number(headers.get('content-length') ?? 0) > maxBytes + maxFormBytes)
    throw refusal(`the file is longer than ${maxBytes} bytes; send less, or raise --batch-file-bytes`, {
      status: 413,
      code: 'file_too_large',
    })
  const upload = await batches.store.receive(maxBytes)
  try {
    const fields = new Map<string, string>()
    for await (const part of multipart(body ?? noBody(), boundary)) {
      if (fields.has(part.name)) throw refusal(`${part.name.slice(0, 64)}: is given twice`, { param: part.name })
      if (part.name !== 'file') {
        fields.set(part.name, await textOf(part))
        continue
      }
      fields.set('file', part.filename ?? '')
      for await (const piece of part.body) await upload.write(piece)
    }
    const { filename, keepSeconds } = readFields(fields)
    const facts = { filename, purpose: 'batch', expires_at: unixNow() + keepSeconds } as const
    return c.json(await upload.keep(owner, facts))
  } catch (error) {
    await upload.discard()
    throw error
  }
}

/** GET /v1/files */
export function getFiles(
  c: Context<ServerEnv>,
  context: ServerContext,
  { purpose, order, ...range }: z.output<typeof fileListSchema>,
): Response {
  const { batches, owner } = batchesFor(c, context)
  const own = batches.store.files.all().filter((file) => file.owner === owner)
  const found = own.flatMap(({ api }) => (purpose === undefined || api.purpose === purpose ? [api] : []))
  return c.json(pageOf(order === 'asc' ? found : found.toReversed(), range))
}

export const fileListSchema = z.strictObject({
  purpose: z.string().max(64).optional(),
  limit: limitUpTo(10_000, 10_000),
  order: z.enum(['asc', 'desc']).default('desc'),
  after: z.string().optional(),
})

/** GET /v1/files/:id */
export function getFile(c: Context<ServerEnv>, context: ServerContext): Response {
  const { batches, owner } = batchesFor(c, context)
  return c.json(owned(batches.store.files, c.req.param('id') ?? '', owner, 'file').api)
}

/** GET /v1/files/:id/content */
export function getFileContent(c: Context<ServerEnv>, context: ServerContext): Response {
  const { batches, owner } = batchesFor(c, context)
  const { api } = owned(batches.store.files, c.req.param('id') ?? '', owner, 'file')
  return c.body(ReadableStream.from(batches.store.read(api.id)) as ReadableStream, 200, {
    'content-type': 'application/octet-stream',
    'content-length': String(api.bytes),
    // a browser must not take what somebody wrote for a page of this server
    'content-disposition': `attachment; filename="${api.id}.jsonl"`,
    'x-content-type-options': 'nosniff',
  })
}

/** DELETE /v1/files/:id */
export async function deleteFile(c: Context<ServerEnv>, context: ServerContext): Promise<Response> {
  const { batches, owner } = batchesFor(c, context)
  const file = owned(batches.store.files, c.req.param('id') ?? '', owner, 'file')
  const user = batches.store.userOf(file.api.id)
  if (user)
    throw refusal(`the file is the input of ${user.api.id}, which is under way; cancel that first`, {
      code: 'file_in_use',
    })
  await batches.store.deleteFile(file)
  return c.json({ id: file.api.id, object: 'file', deleted: true })
}

/** The fields of the form; `readFields` checks them. */
export const formSchema = z
  .strictObject({
    file: z.string().meta({ contentMediaType: 'application/octet-stream' }).describe('JSON Lines'),
    purpose: z.literal('batch'),
    'expires_after[anchor]': z.literal('created_at').optional(),
    'expires_after[seconds]': z.int().min(3600).max(2_592_000).optional(),
  })
  .meta({ title: 'FileForm' })
const known = Object.keys(formSchema.shape)

function readFields(fields: ReadonlyMap<string, string>): { readonly filename: string; readonly keepSeconds: number } {
  const other = [...fields.keys()].find((name) => !known.includes(name))
  if (other !== undefined)
    throw refusal(`${other.slice(0, 64)}: there is no such parameter; remove it`, {
      param: other.slice(0, 64),
      code: 'unknown_parameter',
    })
  for (const param of ['file', 'purpose'])
    if (!fields.has(param)) throw refusal(`${param}: is required`, { param, code: 'missing_required_parameter' })
  if (fields.get('purpose') !== 'batch')
    throw refusal('purpose: must be "batch"; files are kept for nothing else', {
      param: 'purpose',
      code: 'invalid_value',
    })
  const anchor = fields.get('expires_after[anchor]')
  const seconds = fields.get('expires_after[seconds]')
  if ((anchor ?? seconds) !== undefined) {
    if (anchor !== 'created_at')
      throw refusal('expires_after.anchor: must be "created_at"', { param: 'expires_after.anchor' })
    if (!/^\d{1,7}$/.test(seconds ?? '') || !(Number(seconds) >= 3600 && Number(seconds) <= 2_592_000))
      throw refusal('expires_after.seconds: must be a number from 3600 to 2592000', { param: 'expires_after.seconds' })
  }
  // the name is shown, and nothing else
  const filename = fields.get('file')!.slice(0, maxNameLength)
  return { filename: filename === '' ? 'upload' : filename, keepSeconds: Number(seconds ?? usualKeepSeconds) }
}

/**
 * Any web page may send a form to any server without asking (CSRF), unlike JSON. Browsers say whose page it is: it must be
 * one of this server, or one that may ask.
 */
function requireOwnPage(c: Context<ServerEnv>, { options }: ServerContext): void {
  const origin = c.req.header('origin')
  const { corsOrigins = [] } = options
  if (origin === undefined || corsOrigins.includes('*') || corsOrigins.includes(origin)) return
  if (URL.canParse(origin) && new URL(origin).host === c.req.header('host')) return
  throw refusal('web pages of other origins may not send files; allow them with --cors-origin', {
    status: 403,
    code: 'origin_not_allowed',
  })
}

async function* noBody(): AsyncGenerator<Uint8Array> {}
