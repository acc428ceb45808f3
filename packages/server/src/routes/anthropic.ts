import { messageAnswerSchema, messageEventSchema, tokenCountSchema } from '../anthropic/answers.ts'
import { postCountTokens, postMessages } from '../anthropic/routes.ts'
import { countTokensSchema, messagesSchema } from '../anthropic/schema.ts'
import { route, type Route } from '../route.ts'

/** Anthropic's API. */
export const anthropicRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/messages',
    tag: 'generation',
    summary: "An answer to a conversation, as in Anthropic's API",
    needs: 'generation',
    body: messagesSchema,
    answers: {
      200: {
        description: 'the answer, or with "stream": true typed events',
        json: messageAnswerSchema,
        events: messageEventSchema,
      },
    },
    handler: postMessages,
  }),
  route({
    method: 'POST',
    path: '/v1/messages/count_tokens',
    tag: 'tokens',
    summary: 'How many tokens the prompt of such a request has',
    needs: 'generation',
    body: countTokensSchema,
    answers: { 200: { description: 'the count', json: tokenCountSchema } },
    handler: postCountTokens,
  }),
]
