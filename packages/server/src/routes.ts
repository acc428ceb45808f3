import type { ResolvedServerOptions } from './options.ts'
import type { Route } from './route.ts'
import { aboutRoutes } from './routes/about.ts'
import { anthropicRoutes } from './routes/anthropic.ts'
import { batchRoutes } from './routes/batches.ts'
import { controlRoutes } from './routes/control.ts'
import { openaiRoutes } from './routes/openai.ts'
import { poolingRoutes } from './routes/pooling.ts'
import { tokenRoutes } from './routes/tokens.ts'

/** All routes of a server with these options. */
export function routesOf(options: ResolvedServerOptions): readonly Route[] {
  const routes: Route[] = [
    ...openaiRoutes,
    ...anthropicRoutes,
    ...poolingRoutes,
    ...tokenRoutes,
    ...batchRoutes,
    ...aboutRoutes(options, () => routes),
    // without the key they do not exist
    ...(options.adminKey === undefined ? [] : controlRoutes),
  ]
  return routes
}
