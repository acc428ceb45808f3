import { z } from 'zod'

/**
 * A parameter that we cannot honour: it may only say what is the case without it. `remedy` tells what to do instead.
 * The same form serves parameters that ask for nothing but bookkeeping at a provider, see `labels`.
 */
export function unlessInert(remedy: string, ...inert: readonly unknown[]) {
  const texts = new Set(inert.map((value) => JSON.stringify(value)))
  return z
    .unknown()
    .refine((value) => value === undefined || texts.has(JSON.stringify(value)), {
      error: remedy,
      params: { code: 'unsupported_parameter' },
    })
    .optional()
}

/** Accepted and without effect: they label the request in a provider's books and caches, never its answer. */
export const labels = {
  metadata: z.record(z.string(), z.string()).optional(),
  prompt_cache_key: z.string().optional(),
  prompt_cache_retention: z.enum(['in_memory', '24h']).optional(),
}

const oldTools = 'use "tools"'

/** Parameters of OpenAI's chat completions that this release refuses. */
export const unsupportedInChat = {
  audio: unlessInert('answers are text only; remove it'),
  function_call: unlessInert(oldTools, 'none'),
  functions: unlessInert(oldTools, []),
  modalities: unlessInert('answers are text only; use ["text"], or remove it', ['text']),
  moderation: unlessInert('there is no moderation here; remove it'),
  prediction: unlessInert('predicted output is not supported; without it the answer is the same, so remove it'),
  prompt_cache_options: unlessInert('caching cannot be set by request; remove it'),
  service_tier: unlessInert('all requests are served alike; use "auto", or remove it', 'auto', 'default'),
  store: unlessInert('answers are not stored; use false, or remove it', false),
  verbosity: unlessInert('ask for a short or long answer in a message; remove it', 'medium'),
  web_search_options: unlessInert('there is no web search; remove it'),
}
