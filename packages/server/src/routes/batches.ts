import { z } from 'zod'
import {
  deleteFile,
  fileListSchema,
  formSchema,
  getFile,
  getFileContent,
  getFiles,
  postFiles,
} from '../batches/files.ts'
import { pageSchema } from '../batches/list.ts'
import { batchSchema, fileSchema } from '../batches/records.ts'
import { batchListSchema, createSchema, getBatch, getBatches, postBatches, postCancelBatch } from '../batches/routes.ts'
import { requireBatches } from '../batches/scope.ts'
import { route, type Route } from '../route.ts'

const description = "Only where the server runs with --batch-directory. A key sees nothing of what is another's."
const common = { tag: 'batches', description, guard: requireBatches } as const
const file = { ...common, parameters: { id: 'of the file' } } as const
const batch = { ...common, parameters: { id: 'of the batch' } } as const
const theFile = { 200: { description: 'the file', json: fileSchema } }
const theBatch = { 200: { description: 'the batch', json: batchSchema } }
const deleted = z.strictObject({ id: z.string(), object: z.literal('file'), deleted: z.literal(true) })

/** Files of requests, and their answering in the background. What lies on the disk needs no model. */
export const batchRoutes: readonly Route[] = [
  route({
    ...common,
    method: 'GET',
    path: '/v1/files',
    summary: 'Files, those of answers among them',
    query: fileListSchema,
    answers: { 200: { description: 'the youngest first', json: pageSchema(fileSchema) } },
    handler: getFiles,
  }),
  route({
    ...common,
    method: 'POST',
    path: '/v1/files',
    summary: 'Takes a file of requests',
    form: formSchema,
    answers: theFile,
    errors: [503],
    handler: postFiles,
  }),
  route({ ...file, method: 'GET', path: '/v1/files/:id', summary: 'One file', answers: theFile, handler: getFile }),
  route({
    ...file,
    method: 'DELETE',
    path: '/v1/files/:id',
    summary: 'Removes a file',
    answers: { 200: { description: 'it is gone', json: deleted } },
    errors: [400],
    handler: deleteFile,
  }),
  route({
    ...file,
    method: 'GET',
    path: '/v1/files/:id/content',
    summary: 'What is in a file',
    answers: { 200: { description: 'JSON Lines', types: ['application/octet-stream'] } },
    handler: getFileContent,
  }),
  route({
    ...common,
    method: 'GET',
    path: '/v1/batches',
    summary: 'Batches',
    query: batchListSchema,
    answers: { 200: { description: 'the youngest first', json: pageSchema(batchSchema) } },
    handler: getBatches,
  }),
  route({
    ...common,
    method: 'POST',
    path: '/v1/batches',
    summary: 'Has the requests of a file answered when there is room',
    body: createSchema,
    answers: theBatch,
    errors: [404, 503],
    handler: postBatches,
  }),
  route({
    ...batch,
    method: 'GET',
    path: '/v1/batches/:id',
    summary: 'How far a batch is',
    answers: theBatch,
    handler: getBatch,
  }),
  route({
    ...batch,
    method: 'POST',
    path: '/v1/batches/:id/cancel',
    summary: 'Ends a batch; what has been answered stays',
    answers: theBatch,
    errors: [400, 503],
    handler: postCancelBatch,
  }),
]
