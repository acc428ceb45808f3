import { randomUUID } from 'node:crypto'
import type { EncodedPair, Tokenizer } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import type { RequestOptions } from '../batch.ts'
import { checkIds, checkLength, type PlainPrompt } from '../prompt.ts'
import type { ModelInfo } from '../protocol.ts'
import { resolveParams } from '../sampling-params.ts'
import { resolveScheduling } from '../scheduling-options.ts'
import type { EngineRequest } from '../sequence.ts'
import type { PromptPair } from './pooling-api.ts'
import {
  poolingRequestOf,
  resolvePoolingParams,
  tasksOf,
  type PoolingParams,
  type PoolingTaskName,
} from './pooling-params.ts'
import { truncate } from './truncate.ts'

interface Submission {
  readonly task: PoolingTaskName
  readonly prompt: PlainPrompt | PromptPair
  readonly params: PoolingParams
  readonly info: ModelInfo
  readonly tokenizer: Tokenizer
  readonly options: RequestOptions & { readonly requestId?: string }
}

/** A pooling request as the engine takes it; a `request` error says why there is none. */
export function poolingEngineRequest({ task, prompt, params, info, tokenizer, options }: Submission): EngineRequest {
  const { pooling } = info
  if (!pooling)
    throw new SlipwayError(
      'request',
      `this model generates and cannot do the task "${task}"; load it with task "embed" (--task embed) for embeddings of its last token`,
      { code: 'task_not_supported' },
    )
  const resolved = resolvePoolingParams(params, pooling)
  // tells of a task or parameter that does not fit before the text is looked at
  poolingRequestOf(task, resolved, pooling, undefined)
  const { truncatePromptTokens, truncationSide, addSpecialTokens } = resolved
  const encoded = encode(prompt, info.vocabSize, tokenizer, addSpecialTokens)
  const length = truncatePromptTokens === -1 ? pooling.maxTokens : truncatePromptTokens
  const { ids, typeIds } = length === undefined ? encoded : truncate(encoded, length, truncationSide, tokenizer)
  const end = '; shorten it, or have it cut by truncatePromptTokens'
  checkLength(ids.length, pooling.maxTokens, pooling.maxTokens, end)
  return {
    requestId: options.requestId ?? randomUUID(),
    promptTokenIds: ids,
    params: { ...resolveParams({}, info), seed: 0, maxTokens: 1 },
    scheduling: resolveScheduling(options),
    pooling: poolingRequestOf(task, resolved, pooling, pooling.numTokenTypes > 1 ? typeIds : undefined),
  }
}

function encode(
  prompt: PlainPrompt | PromptPair,
  vocabSize: number,
  tokenizer: Tokenizer,
  addSpecialTokens: boolean,
): EncodedPair {
  if (typeof prompt === 'string') return tokenizer.encodePair(prompt, undefined, { addSpecialTokens })
  if ('second' in prompt) return tokenizer.encodePair(prompt.first, prompt.second, { addSpecialTokens })
  return { ids: [...checkIds(prompt, vocabSize)], typeIds: prompt.map(() => 0) }
}

/** Throws a `request` error where a model does not generate. */
export function requireGenerating({ pooling }: ModelInfo): void {
  if (!pooling) return
  const message = `this model does not generate; it can do ${tasksOf(pooling).join(', ')}`
  throw new SlipwayError('request', message, { code: 'task_not_supported' })
}
