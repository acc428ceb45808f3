import { randomInt, randomUUID } from 'node:crypto'
import type { Tokenizer } from '@slipway/checkpoint'
import type { AdapterInfo } from './adapters.ts'
import { badWordIds } from './bad-words.ts'
import type { RequestOptions } from './batch.ts'
import type { ResolvedBeamSearch } from './beam-search-params.ts'
import { checkProcessorNames } from './logits-processor.ts'
import type { ResolvedEngineOptions } from './options.ts'
import { checkLength, encodePrompt, type Prompt } from './prompt.ts'
import type { ModelInfo } from './protocol.ts'
import { resolveParams, type SamplingParams } from './sampling-params.ts'
import { resolveScheduling } from './scheduling-options.ts'
import type { EngineRequest } from './sequence.ts'

interface Submission {
  readonly prompt: Prompt
  readonly params: SamplingParams
  readonly options: RequestOptions & { readonly requestId?: string }
  readonly info: ModelInfo
  readonly tokenizer: Tokenizer
  readonly earlyStopConfig: ResolvedEngineOptions['earlyStopConfig']
  readonly adapter: AdapterInfo | undefined
  readonly beamSearch: ResolvedBeamSearch | undefined
}

/** A request to generate as the engine takes it; a `request` error says why there is none. */
export function generationRequest({
  prompt,
  params,
  options,
  info,
  tokenizer,
  earlyStopConfig,
  adapter,
  beamSearch,
}: Submission): EngineRequest {
  const scheduling = resolveScheduling(options)
  const resolved = resolveParams(params, info)
  const { promptTokenIds, endIds } = encodePrompt(prompt, tokenizer, info.vocabSize)
  const maxModelLen = info.maxModelLen - (adapter?.numVirtualTokens ?? 0)
  const room = maxModelLen - promptTokenIds.length
  const end = ' in prompt and answer together; shorten it'
  checkLength(promptTokenIds.length, maxModelLen - 1, maxModelLen, end)
  checkProcessorNames(resolved.logitsProcessorsArgs, info.logitsProcessors)
  return {
    requestId: options.requestId ?? randomUUID(),
    promptTokenIds,
    params: {
      ...resolved,
      stopTokenIds: resolved.ignoreEos ? resolved.stopTokenIds : [...resolved.stopTokenIds, ...endIds],
      badWordsTokenIds: [...resolved.badWordsTokenIds, ...badWordIds(resolved.badWords, tokenizer)],
      // a beam search goes on to its own end
      earlyStop: beamSearch ? undefined : (resolved.earlyStop ?? earlyStopConfig),
      seed: resolved.seed ?? randomInt(2 ** 47),
      maxTokens: Math.min(resolved.maxTokens ?? room, room),
    },
    scheduling,
    ...(adapter && { lora: adapter.name }),
    ...(beamSearch && { beamSearch }),
  }
}
