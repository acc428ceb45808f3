import { randomBytes } from 'node:crypto'
import type { Usage } from '@slipway/engine'
import { systemFingerprint, type ServerContext } from '../context.ts'
import type { ApiUsage, Completion } from './answers.ts'

/** What every answer and every chunk of one request carries. */
export type Envelope = Pick<Completion, 'id' | 'created' | 'model' | 'system_fingerprint'>

export function newEnvelope(context: ServerContext, prefix: 'chatcmpl' | 'cmpl', model: string): Envelope {
  return {
    id: `${prefix}-${randomBytes(16).toString('hex')}`,
    created: Math.floor(Date.now() / 1000),
    model,
    system_fingerprint: systemFingerprint(context),
  }
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
