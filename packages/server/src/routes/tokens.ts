import { route, type Route } from '../route.ts'
import { textSchema, tokensSchema } from '../tokenize/answers.ts'
import { postDetokenize, postTokenize } from '../tokenize/routes.ts'
import { detokenizeSchema, tokenizeSchema } from '../tokenize/schemas.ts'

/** Tokens of texts, as vLLM has them. */
export const tokenRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/tokenize',
    tag: 'tokens',
    summary: 'The ids of a text, or of a conversation as the chat template writes it',
    needs: 'model',
    body: tokenizeSchema,
    answers: { 200: { description: 'the ids', json: tokensSchema } },
    errors: [404],
    handler: postTokenize,
  }),
  route({
    method: 'POST',
    path: '/detokenize',
    tag: 'tokens',
    summary: 'The text of ids, special tokens included',
    needs: 'model',
    body: detokenizeSchema,
    answers: { 200: { description: 'the text', json: textSchema } },
    errors: [404],
    handler: postDetokenize,
  }),
]
