import { z } from 'zod'
import { getConfig, getHealth, getLoad, getMetrics, getReady, getVersion } from '../health.ts'
import { playgroundPath } from '../http/access.ts'
import { getEngineEvents } from '../live.ts'
import type { ServerOptions } from '../options.ts'
import { openApiDocument, templateOf } from '../openapi/document.ts'
import { Playground } from '../playground.ts'
import { route, type Route } from '../route.ts'

const count = z.int().min(0)
const common = { method: 'GET', tag: 'server' } as const

const root = z.strictObject({
  name: z.literal('slipway'),
  version: z.string(),
  status: z.string(),
  models: z.array(z.string()).describe('served names; none while there is no model'),
  routes: z.array(z.string()),
})
const health = z
  .strictObject({
    status: z.enum(['ready', 'paused', 'sleeping', 'restarting', 'loading', 'failed', 'closed']),
    progress: z
      .strictObject({ stage: z.string(), done: z.number(), total: z.number() })
      .exactOptional()
      .describe('of loading'),
  })
  .meta({ title: 'Health' })
const readiness = z
  .strictObject({ status: z.enum(['ready', 'restarting', 'loading', 'failed', 'closed', 'draining']) })
  .meta({ title: 'Readiness' })
const load = z.strictObject({
  server_load: count.describe('HTTP requests under way'),
  running: count.describe('sequences'),
  waiting: count.describe('sequences'),
})
const snapshot = z
  .strictObject({
    time: z.number().describe('milliseconds of the engine'),
    stats: z.record(z.string(), z.number()).describe('sizes now, and counts since the start'),
    blocks: z
      .strictObject({ blocksPerCell: count, owned: z.array(count), cached: z.array(count) })
      .describe('by cell: how many of its blocks are owned, and how many are cached'),
    sequences: z.array(
      z.strictObject({
        requestId: z.string(),
        index: count,
        state: z.enum(['running', 'waiting']),
        age: z.number().describe('milliseconds'),
        promptTokens: count,
        computedTokens: count,
        generatedTokens: count,
        blocks: count,
      }),
    ),
  })
  .meta({ title: 'EngineSnapshot' })

/** What tells of the server itself. `all` gives all routes that the server has. */
export function aboutRoutes({ playground: hasPage }: Pick<ServerOptions, 'playground'>, all: () => Route[]): Route[] {
  const playground = new Playground()
  let document: Promise<object> | undefined
  return [
    route({
      ...common,
      path: '/',
      summary: 'What this is; to browsers the playground',
      access: 'open',
      answers: { 200: { description: 'a summary', json: root, ...(hasPage && { types: ['text/html'] }) } },
      handler: (c, context) => {
        const isShown = ({ access }: Route): boolean => access !== 'admin'
        const paths = all()
          .filter(isShown)
          .map(({ path }) => templateOf(path))
        return playground.getRoot(c, context, [...new Set(paths)])
      },
    }),
    ...(hasPage ? [fileRoute(playground)] : []),
    route({
      ...common,
      path: '/openapi.json',
      summary: 'This document',
      access: 'open',
      answers: { 200: { description: 'OpenAPI 3.1', json: z.looseObject({ openapi: z.string() }) } },
      handler: async (c) => c.json(await (document ??= openApiDocument(all()))),
    }),
    route({
      ...common,
      path: '/health',
      summary: 'Whether the process does its work, or mends itself; else it should be started again',
      access: 'open',
      answers: {
        200: { description: 'it does', json: health },
        503: { description: 'it does not, or not yet', json: health },
      },
      handler: getHealth,
    }),
    route({
      ...common,
      path: '/ready',
      summary: 'Whether requests are taken',
      access: 'open',
      answers: {
        200: { description: 'they are', json: readiness },
        503: { description: 'they are not', json: readiness },
      },
      handler: getReady,
    }),
    route({
      ...common,
      path: '/version',
      summary: 'The version of the server',
      access: 'open',
      answers: { 200: { description: 'the version', json: z.strictObject({ version: z.string() }) } },
      handler: getVersion,
    }),
    route({
      ...common,
      path: '/load',
      summary: 'How busy the server is',
      answers: { 200: { description: 'what is under way', json: load } },
      handler: getLoad,
    }),
    route({
      ...common,
      path: '/metrics',
      summary: 'Metrics for Prometheus',
      answers: { 200: { description: 'in the text form of Prometheus', types: ['text/plain'] } },
      handler: getMetrics,
    }),
    route({
      ...common,
      path: '/config',
      summary: 'The settings in effect, without keys',
      answers: { 200: { description: 'by name', json: z.looseObject({}) } },
      handler: getConfig,
    }),
    route({
      ...common,
      path: '/v1/engine/events',
      summary: 'What the engine does, twice a second',
      needs: 'model',
      answers: { 200: { description: 'snapshots, until the client goes', events: snapshot } },
      handler: getEngineEvents,
    }),
  ]
}

function fileRoute(playground: Playground): Route {
  return route({
    ...common,
    path: `${playgroundPath}/:file`,
    summary: 'The files of the playground',
    access: 'open',
    parameters: { file: 'name of a file' },
    answers: {
      200: { description: 'the file', types: ['text/html', 'text/javascript', 'text/css', 'image/svg+xml'] },
    },
    handler: (c) => playground.getFile(c),
  })
}
