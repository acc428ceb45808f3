import { z } from 'zod'

/** What POST /tokenize answers. */
export const tokensSchema = z
  .strictObject({
    count: z.int().min(0),
    max_model_len: z.int(),
    tokens: z.array(z.int()),
    token_strs: z.array(z.string()).nullable().describe('as the vocabulary has them, if they are asked for'),
  })
  .meta({ title: 'Tokens' })

/** What POST /detokenize answers. */
export const textSchema = z.strictObject({ prompt: z.string() }).meta({ title: 'Text' })
