import {
  chatCompletionChunkSchema,
  chatCompletionSchema,
  completionAnswerSchema,
  completionChunkSchema,
  deletedModelSchema,
  modelListSchema,
  modelSchema,
} from '../openai/answers.ts'
import { loadSchema, postLoadLora, postUnloadLora, requireRuntimeLora, unloadSchema } from '../adapters.ts'
import { chatSchema } from '../openai/chat-schema.ts'
import { postChatCompletions } from '../openai/chat.ts'
import { completionSchema } from '../openai/completion-schema.ts'
import { postCompletions } from '../openai/completions.ts'
import { getModel, getModels } from '../openai/models.ts'
import { responseEventSchema, responseSchema } from '../responses/answers.ts'
import { postResponses } from '../responses/routes.ts'
import { responsesSchema } from '../responses/schema.ts'
import { route, type Route } from '../route.ts'

const whole = 'the answer, or with "stream": true its pieces and then [DONE]'

/** OpenAI's API, and vLLM's routes for adapters. */
export const openaiRoutes: readonly Route[] = [
  route({
    method: 'POST',
    path: '/v1/chat/completions',
    tag: 'generation',
    summary: 'An answer to a conversation, through the chat template of the model',
    needs: 'generation',
    body: chatSchema,
    answers: { 200: { description: whole, json: chatCompletionSchema, events: chatCompletionChunkSchema } },
    handler: postChatCompletions,
  }),
  route({
    method: 'POST',
    path: '/v1/completions',
    tag: 'generation',
    summary: 'What comes after a text or token ids',
    needs: 'generation',
    body: completionSchema,
    answers: { 200: { description: whole, json: completionAnswerSchema, events: completionChunkSchema } },
    handler: postCompletions,
  }),
  route({
    method: 'POST',
    path: '/v1/responses',
    tag: 'generation',
    summary: 'An answer to a conversation as items, without stored state',
    needs: 'generation',
    body: responsesSchema,
    answers: {
      200: {
        description: 'the answer, or with "stream": true typed events',
        json: responseSchema,
        events: responseEventSchema,
      },
    },
    handler: postResponses,
  }),
  route({
    method: 'GET',
    path: '/v1/models',
    tag: 'models',
    summary: 'The served names, and those of adapters',
    needs: 'model',
    answers: { 200: { description: 'all of them', json: modelListSchema } },
    handler: getModels,
  }),
  route({
    method: 'GET',
    // a name on the hub has a slash in it
    path: '/v1/models/:id{.+}',
    tag: 'models',
    summary: 'One served name',
    needs: 'model',
    parameters: { id: 'name of a model or adapter; it may have slashes in it' },
    answers: { 200: { description: 'the model', json: modelSchema } },
    handler: getModel,
  }),
  route({
    method: 'POST',
    path: '/v1/load_lora_adapter',
    tag: 'models',
    summary: "Makes a LoRA adapter in a folder of the server's machine a model that requests can name",
    description: 'Only where the server runs with --runtime-lora.',
    needs: 'model',
    guard: requireRuntimeLora,
    body: loadSchema,
    answers: { 200: { description: 'the adapter as a model', json: modelSchema } },
    handler: postLoadLora,
  }),
  route({
    method: 'POST',
    path: '/v1/unload_lora_adapter',
    tag: 'models',
    summary: 'Forgets an adapter; requests under way go on to their end',
    description: 'Only where the server runs with --runtime-lora.',
    needs: 'model',
    guard: requireRuntimeLora,
    body: unloadSchema,
    answers: { 200: { description: 'what was forgotten', json: deletedModelSchema } },
    errors: [404],
    handler: postUnloadLora,
  }),
]
