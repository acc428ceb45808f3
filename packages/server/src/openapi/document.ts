import { setImmediate as turn } from 'node:timers/promises'
import { anthropicErrorSchema, isAnthropicPath } from '../anthropic/errors.ts'
import { version } from '../context.ts'
import { apiErrorSchema } from '../http/error-schema.ts'
import type { Answer, Route } from '../route.ts'
import { JsonSchemas, type JsonSchema } from './json-schema.ts'

/** An OpenAPI 3.1 document of routes. Its schemas are made of those that check the bodies; streams go on meanwhile. */
export async function openApiDocument(routes: readonly Route[]): Promise<object> {
  const schemas = new JsonSchemas()
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    await turn()
    const path = templateOf(route.path)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, schemas) }
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Slipway',
      version,
      description:
        'A parameter of a body that is null counts as absent. Every answer has a header x-request-id. Further methods are answered with 405.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: schemas.components,
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'an API key, where the server has keys' },
        apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'the same, as Anthropic sends it' },
        admin: { type: 'http', scheme: 'bearer', description: 'the admin key' },
      },
    },
  }
}

/** `/v1/models/:id{.+}` as `/v1/models/{id}`. */
export function templateOf(path: string): string {
  return path.replace(/:(\w+)(?:\{[^}]*\})?/g, '{$1}')
}

const security = {
  open: [],
  // an empty requirement: a server without keys asks for none
  key: [{}, { bearer: [] }, { apiKey: [] }],
  admin: [{ admin: [] }],
} as const

function operationOf(route: Route, schemas: JsonSchemas): object {
  const { method, path, tag, summary, description, access = 'key', parameters = {}, isCommand = false } = route
  const { body, query, form } = route
  const words = path.split(/\W+/).filter((word) => word !== '')
  const read = body && schemas.read(body)
  return {
    operationId: [method.toLowerCase(), ...words].join('_'),
    tags: [tag],
    summary,
    ...(description !== undefined && { description }),
    security: security[access],
    parameters: [
      ...Object.entries(parameters).map(([name, description]) => ({
        name,
        in: 'path',
        required: true,
        description,
        schema: { type: 'string' },
      })),
      ...(isCommand ? queryParameters(read!) : query ? queryParameters(schemas.read(query)) : []),
    ],
    ...(read && { requestBody: { required: !isCommand, content: { 'application/json': { schema: read } } } }),
    ...(form && {
      requestBody: { required: true, content: { 'multipart/form-data': { schema: schemas.read(form) } } },
    }),
    responses: responsesOf(route, schemas),
  }
}

/** What may stand in the address; a command takes there what it takes from its body. */
function queryParameters(body: JsonSchema): object[] {
  const properties = (body['properties'] ?? {}) as Readonly<Record<string, JsonSchema>>
  return Object.entries(properties).map(([name, schema]) => ({ name, in: 'query', required: false, schema }))
}

const reasons: Readonly<Record<number, string>> = {
  400: 'the body or a parameter is at fault; `param` names it',
  401: 'the key is missing or not known',
  403: 'not for this host, or not allowed by the operator',
  404: 'there is no such thing',
  408: 'the `timeout` of the request is over',
  409: 'not as things stand',
  413: 'the body is too long',
  415: 'the body is not declared as what it has to be',
  429: 'too many requests, or a limit of the key is used up',
  503: 'not now: the model is being loaded, the engine starts again, sleeps, or the server ends',
}

/** What a route answers by status; errors follow from what it asks for. */
function responsesOf(route: Route, schemas: JsonSchemas): object {
  const { method, path, access = 'key', needs, guard, body, query, form, parameters, answers, errors = [] } = route
  const statuses = new Set([
    403,
    ...(access === 'open' ? [] : [401]),
    ...(access === 'key' && method !== 'GET' ? [429] : []),
    ...(body || form ? [400, 413, 415] : query ? [400] : []),
    ...(parameters ? [404] : []),
    ...(needs ? [503] : []),
    ...(needs === 'generation' ? [404, 408] : []),
    ...(guard ? [403] : []),
    ...errors,
  ])
  const error = { json: isAnthropicPath(path) ? anthropicErrorSchema : apiErrorSchema }
  const faults = [...statuses].map((status): [number, Answer] => [status, { description: reasons[status]!, ...error }])
  // what a route says itself comes first
  const all = Object.entries<Answer>({ ...Object.fromEntries(faults), ...answers })
  return Object.fromEntries(all.map(([status, answer]) => [status, responseOf(answer, schemas)]))
}

function responseOf({ description, json, events, types = [] }: Answer, schemas: JsonSchemas): object {
  const content = {
    ...(json && { 'application/json': { schema: schemas.written(json) } }),
    // OpenAPI 3.1 has no words for the data of an event; 3.2 calls it itemSchema
    ...(events && {
      'text/event-stream': { schema: { type: 'string' }, 'x-event-schema': schemas.written(events) },
    }),
    ...Object.fromEntries(types.map((type) => [type, { schema: { type: 'string' } }])),
  }
  return { description, content }
}
