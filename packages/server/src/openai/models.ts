import type { Context } from 'hono'
import { requireModel, servedNames, type ServerContext } from '../context.ts'
import type { ServerEnv } from '../http/request-id.ts'
import type { Model } from './answers.ts'

/** GET /v1/models */
export function getModels(c: Context<ServerEnv>, context: ServerContext): Response {
  const names = [...servedNames(context), ...context.llm.loras.map(({ name }) => name)]
  return c.json({ object: 'list', data: names.map((name) => modelCard(context, name)) })
}

/** GET /v1/models/:id */
export function getModel(c: Context<ServerEnv>, context: ServerContext): Response {
  const name = c.req.param('id') ?? ''
  requireModel(context, name)
  return c.json(modelCard(context, name))
}

/** How a served name shows itself; an adapter names its model. */
export function modelCard(context: ServerContext, id: string): Model {
  const { llm, created } = context
  const card = { id, object: 'model' as const, created, owned_by: 'slipway', max_model_len: llm.info.maxModelLen }
  return requireModel(context, id).lora === undefined ? card : { ...card, parent: servedNames(context)[0]! }
}
