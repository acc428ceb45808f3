import {
  classificationListSchema,
  embeddingListSchema,
  poolingListSchema,
  rankingSchema,
  scoreListSchema,
} from '../pooling/answers.ts'
import { postClassify, postEmbeddings, postPooling, postRerank, postScore } from '../pooling/routes.ts'
import { classifySchema, embeddingsSchema, poolingSchema, rerankSchema, scoreSchema } from '../pooling/schemas.ts'
import { route, type Route } from '../route.ts'

const common = {
  method: 'POST',
  tag: 'pooling',
  needs: 'model',
  // of a model that is not there, and of a timeout
  errors: [404, 408],
} as const

/** What models do that embed, classify or score, under the paths of OpenAI, Jina, Cohere and vLLM. */
export const poolingRoutes: readonly Route[] = [
  route({
    ...common,
    path: '/v1/embeddings',
    summary: 'Embeddings of texts',
    body: embeddingsSchema,
    answers: { 200: { description: 'one for each text', json: embeddingListSchema } },
    handler: postEmbeddings,
  }),
  route({
    ...common,
    path: '/pooling',
    summary: "Whatever the model's task gives: numbers for a text, or for each of its tokens",
    body: poolingSchema,
    answers: { 200: { description: 'an entry for each text', json: poolingListSchema } },
    handler: postPooling,
  }),
  ...['/v1/classify', '/classify'].map((path) =>
    route({
      ...common,
      path,
      summary: 'Classes of texts',
      body: classifySchema,
      answers: { 200: { description: 'the class of each text', json: classificationListSchema } },
      handler: postClassify,
    }),
  ),
  ...['/v1/score', '/score'].map((path) =>
    route({
      ...common,
      path,
      summary: 'How well texts fit queries',
      body: scoreSchema,
      answers: { 200: { description: 'a score for each pair', json: scoreListSchema } },
      handler: postScore,
    }),
  ),
  ...['/v1/rerank', '/v2/rerank', '/rerank'].map((path) =>
    route({
      ...common,
      path,
      summary: 'Documents by how well they fit a query',
      body: rerankSchema,
      answers: { 200: { description: 'the best first', json: rankingSchema } },
      handler: postRerank,
    }),
  ),
]
