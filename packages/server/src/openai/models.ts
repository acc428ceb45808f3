import type { Context } from 'hono'
import { requireModel, servedNames, type ServerContext } from '../context.ts'
import type { ServerEnv } from '../http/request-id.ts'

export interface Model {
  readonly id: string
  readonly object: 'model'
  readonly created: number
  readonly owned_by: string
  /** Longest prompt and answer together, in tokens; named as in vLLM. */
  readonly max_model_len: number
}

/** GET /v1/models */
export function getModels(c: Context<ServerEnv>, context: ServerContext): Response {
  return c.json({ object: 'list', data: servedNames(context).map((name) => modelCard(context, name)) })
}

/** GET /v1/models/:id */
export function getModel(c: Context<ServerEnv>, context: ServerContext): Response {
  const name = c.req.param('id') ?? ''
  requireModel(context, name)
  return c.json(modelCard(context, name))
}

function modelCard({ llm, created }: ServerContext, id: string): Model {
  return { id, object: 'model', created, owned_by: 'slipway', max_model_len: llm.info.maxModelLen }
}
