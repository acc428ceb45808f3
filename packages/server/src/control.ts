import type { Context } from 'hono'
import type { ServerContext } from './context.ts'
import type { ServerEnv } from './http/request-id.ts'

// Routes that control the engine, named as at vLLM; all behind the admin key.

/** POST /reset_prefix_cache */
export async function resetPrefixCache(c: Context<ServerEnv>, { llm }: ServerContext): Promise<Response> {
  await llm.resetPrefixCache()
  return c.json({ status: 'success' })
}
