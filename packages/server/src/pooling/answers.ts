import { z } from 'zod'

const count = z.int().min(0)
const usage = z.strictObject({ prompt_tokens: count, total_tokens: count })
const vector = z.union([z.array(z.number()), z.string().describe('base64 of little-endian f32')])

const listOf = (title: string, entry: Readonly<Record<string, z.ZodType>>) =>
  z
    .strictObject({
      id: z.string(),
      object: z.literal('list'),
      created: z.int().describe('Unix seconds'),
      model: z.string(),
      data: z.array(z.strictObject({ index: count, ...entry })),
      usage,
    })
    .meta({ title })

// what the routes of models that embed, classify and score answer

export const embeddingListSchema = listOf('EmbeddingList', { object: z.literal('embedding'), embedding: vector })

export const classificationListSchema = listOf('ClassificationList', {
  label: z.string(),
  probs: z.array(z.number()),
  num_classes: count,
})

export const poolingListSchema = listOf('PoolingList', {
  object: z.literal('pooling'),
  data: z.union([vector, z.array(vector).describe('a list for each token')]),
})

export const scoreListSchema = listOf('ScoreList', { object: z.literal('score'), score: z.number() })

export const rankingSchema = z
  .strictObject({
    id: z.string(),
    model: z.string(),
    usage,
    results: z
      .array(
        z.strictObject({
          index: count,
          document: z.strictObject({ text: z.string() }).exactOptional(),
          relevance_score: z.number(),
        }),
      )
      .describe('the best first'),
  })
  .meta({ title: 'Ranking' })
