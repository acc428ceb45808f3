import type { Context } from 'hono'
import type { z } from 'zod'
import { requireModel, type ServerContext } from '../context.ts'
import type { ServerEnv } from '../http/request-id.ts'
import { asking, encoded, fitting, newAnswer, promptsOf, usageOf } from './ask.ts'
import {
  poolingParams,
  type classifySchema,
  type embeddingsSchema,
  type poolingSchema,
  type rerankSchema,
  type scoreSchema,
} from './schemas.ts'

type Body<S extends z.ZodType> = z.output<S>

/** POST /v1/embeddings */
export async function postEmbeddings(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Body<typeof embeddingsSchema>,
): Promise<Response> {
  requireModel(context, body.model)
  const params = poolingParams(body)
  const outputs = await asking(c, context, body, 'input', (options) =>
    context.llm.embed(promptsOf(context, body, params), params, options),
  )
  return c.json({
    ...newAnswer('embd', body.model),
    data: outputs.map(({ embedding }, index) => ({
      index,
      object: 'embedding',
      embedding: encoded(embedding, body.encoding_format),
    })),
    usage: usageOf(outputs),
  })
}

/** POST /v1/classify */
export async function postClassify(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Body<typeof classifySchema>,
): Promise<Response> {
  requireModel(context, body.model)
  const params = poolingParams(body)
  const outputs = await asking(c, context, body, 'input', (options) =>
    context.llm.classify(promptsOf(context, body, params), params, options),
  )
  return c.json({
    ...newAnswer('classify', body.model),
    data: outputs.map(({ label, probs }, index) => ({
      index,
      label,
      probs: Array.from(probs),
      num_classes: probs.length,
    })),
    usage: usageOf(outputs),
  })
}

/** POST /pooling: whatever the model's task gives, a list of numbers for a text or for each of its tokens. */
export async function postPooling(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Body<typeof poolingSchema>,
): Promise<Response> {
  requireModel(context, body.model)
  const { llm } = context
  const params = poolingParams(body)
  const outputs = await asking(c, context, body, 'input', (options) =>
    llm.pool(body.task ?? llm.ownTask, promptsOf(context, body, params), params, options),
  )
  return c.json({
    ...newAnswer('pool', body.model),
    data: outputs.map(({ values, rows, cols, isByToken }, index) => {
      const row = (r: number) => encoded(values.subarray(r * cols, (r + 1) * cols), body.encoding_format)
      const data = isByToken ? Array.from({ length: rows }, (_, r) => row(r)) : row(0)
      return { index, object: 'pooling', data }
    }),
    usage: usageOf(outputs),
  })
}

/** POST /v1/score */
export async function postScore(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Body<typeof scoreSchema>,
): Promise<Response> {
  requireModel(context, body.model)
  const params = poolingParams(body)
  const fit = (texts: readonly string[], name: string): string[] =>
    texts.map((text) => fitting(context, text, name, params))
  const outputs = await asking(c, context, body, 'documents', (options) =>
    context.llm.score(fit(body.queries, 'queries'), fit(body.documents, 'documents'), params, options),
  )
  return c.json({
    ...newAnswer('score', body.model),
    data: outputs.map(({ score }, index) => ({ index, object: 'score', score })),
    usage: usageOf(outputs),
  })
}

/** POST /v1/rerank, /v2/rerank: documents by how well they fit the query, the best first. */
export async function postRerank(
  c: Context<ServerEnv>,
  context: ServerContext,
  body: Body<typeof rerankSchema>,
): Promise<Response> {
  requireModel(context, body.model)
  const params = poolingParams(body)
  const { query, documents, top_n, return_documents } = body
  const fit = (text: string, name: string): string => fitting(context, text, name, params)
  const outputs = await asking(c, context, body, 'documents', (options) =>
    context.llm.score(
      fit(query, 'query'),
      documents.map((text) => fit(text, 'documents')),
      params,
      options,
    ),
  )
  const results = outputs
    .map(({ score }, index) => ({
      index,
      ...(return_documents && { document: { text: documents[index]! } }),
      relevance_score: score,
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score)
  const { id, model } = newAnswer('rerank', body.model)
  return c.json({ id, model, usage: usageOf(outputs), results: top_n ? results.slice(0, top_n) : results })
}
