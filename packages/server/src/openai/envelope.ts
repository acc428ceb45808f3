import { randomBytes } from 'node:crypto'
import type { Usage } from '@slipway/engine'
import { systemFingerprint, type ServerContext } from '../context.ts'

/** What every answer and every chunk of one request carries. */
export interface Envelope {
  readonly id: string
  /** Unix seconds. */
  readonly created: number
  /** As the client named it. */
  readonly model: string
  readonly system_fingerprint: string
}

export function newEnvelope(context: ServerContext, prefix: 'chatcmpl' | 'cmpl', model: string): Envelope {
  return {
    id: `${prefix}-${randomBytes(16).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: systemFingerprint(context),
  }
}

export interface ApiUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
  /** Of models that reason. */
  readonly completion_tokens_details?: { readonly reasoning_tokens: number }
}

export function apiUsage({ promptTokens, completionTokens, cachedTokens }: Usage, reasoningTokens?: number): ApiUsage {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
    ...(reasoningTokens !== undefined && { completion_tokens_details: { reasoning_tokens: reasoningTokens } }),
  }
}
