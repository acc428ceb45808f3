import type { BeamSearchParams, SamplingParams, SchedulingOptions } from '@slipway/engine'
import { z } from 'zod'
import { arrayOf } from './array-of.ts'
import { structuredFields } from './structured-outputs.ts'
import { labels } from './unsupported.ts'

/** Sampling parameters that both routes take: OpenAI's and vLLM's. The engine checks their bounds. */
export const samplingFields = {
  temperature: z.number().min(0).max(2).optional(),
  top_p: z.number().optional(),
  top_k: z.int().optional(),
  min_p: z.number().optional(),
  typical_p: z.number().optional(),
  repetition_penalty: z.number().optional(),
  presence_penalty: z.number().optional(),
  frequency_penalty: z.number().optional(),
  logit_bias: z.record(z.string().regex(/^\d{1,9}$/, 'must be a token id'), z.number()).optional(),
  allowed_token_ids: arrayOf(z.int()).optional(),
  bad_words: z
    .union([z.string(), arrayOf(z.string())], { error: 'must be a string or an array of strings' })
    .optional(),
  bad_words_token_ids: arrayOf(
    z.union([z.int(), arrayOf(z.int())], { error: 'must be a token id or a list of them' }),
  ).optional(),
  prompt_logprobs: z.int().optional(),
  early_stop_config: z
    .union([
      z.literal(false),
      z.strictObject({
        strategy: z.literal('repetition').optional(),
        window_size: z.int().optional(),
        threshold: z.number().optional(),
      }),
    ])
    .transform(
      (config) =>
        config && {
          ...(config.window_size !== undefined && { windowSize: config.window_size }),
          ...(config.threshold !== undefined && { threshold: config.threshold }),
        },
    )
    .optional(),
  logits_processors_args: z.record(z.string(), z.unknown()).optional(),
  stop: z.union([z.string(), arrayOf(z.string())], { error: 'must be a string or an array of strings' }).optional(),
  stop_token_ids: arrayOf(z.int()).optional(),
  include_stop_str_in_output: z.boolean().optional(),
  ignore_eos: z.boolean().optional(),
  min_tokens: z.int().optional(),
  skip_special_tokens: z.boolean().optional(),
  seed: z.int().optional(),
  n: z.int().optional(),
}

/** Beam search as vLLM asks for it; its width is `n` unless it is said. */
const beamFields = {
  use_beam_search: z.boolean().optional(),
  beam_width: z.int().optional(),
  length_penalty: z.number().optional(),
  early_stopping: z.union([z.boolean(), z.literal('never')], { error: 'must be true, false or "never"' }).optional(),
}

/** Of the parameters above those that a beam search takes too; others may only say what it does anyway. */
const takenByBeams = new Set(['n', 'stop_token_ids', 'ignore_eos', 'include_stop_str_in_output', 'skip_special_tokens'])
const inertForBeams = new Map<string, unknown>([
  ['temperature', 0],
  ['top_p', 1],
  ['logprobs', false],
])

/** Adds the faults of a beam search that is asked for with what it cannot take, and of its parameters without it. */
function checkBeamSearch(
  body: Readonly<Record<string, unknown>> & { readonly stream: boolean },
  context: z.RefinementCtx,
): void {
  const refuse = (name: string, message: string): void => context.addIssue({ code: 'custom', path: [name], message })
  if (body['use_beam_search'] !== true) {
    for (const name of ['beam_width', 'length_penalty', 'early_stopping'])
      if (body[name] !== undefined) refuse(name, 'needs "use_beam_search": true')
    return
  }
  if (body.stream) refuse('stream', 'a beam search knows its answers at the end; remove stream')
  for (const name of [
    ...Object.keys(samplingFields),
    ...Object.keys(structuredFields),
    'logprobs',
    'best_of',
    'echo',
  ]) {
    // a response_format of text asks for nothing
    const isText = name === 'response_format' && (body[name] as { type?: unknown } | undefined)?.type === 'text'
    const isInert = body[name] === undefined || body[name] === inertForBeams.get(name) || body[name] === false
    if (!isInert && !isText && !takenByBeams.has(name) && name !== 'seed')
      refuse(name, 'cannot be combined with use_beam_search; remove it')
  }
}

/** The parameters of a beam search in the engine's terms; undefined where none is asked for. */
export function beamParams(
  body: z.output<z.ZodObject<typeof beamFields & typeof samplingFields>>,
): BeamSearchParams | undefined {
  if (body.use_beam_search !== true) return undefined
  const { n = 1, beam_width = n, length_penalty, early_stopping } = body
  return {
    beamWidth: beam_width,
    n,
    lengthPenalty: length_penalty,
    earlyStopping: early_stopping,
    stopTokenIds: body.stop_token_ids,
    ignoreEos: body.ignore_eos,
    includeStopStrInOutput: body.include_stop_str_in_output,
    skipSpecialTokens: body.skip_special_tokens,
  }
}

/** How a request makes its way: vLLM's names where it has them. None of it changes the answer. */
export const schedulingFields = {
  priority: z.int().optional(),
  timeout: z.number().optional(),
  cache_salt: z.string().optional(),
  user: z.string().optional(),
  /** OpenAI's later name for `user`. */
  safety_identifier: z.string().optional(),
}

export function schedulingOptions(body: z.output<z.ZodObject<typeof schedulingFields>>): SchedulingOptions {
  const { priority, timeout, cache_salt, user, safety_identifier } = body
  return { priority, timeout, cacheSalt: cache_salt, user: user ?? safety_identifier }
}

/** Names of the engine for the names of the API. */
const engineNames = {
  temperature: 'temperature',
  top_p: 'topP',
  top_k: 'topK',
  min_p: 'minP',
  typical_p: 'typicalP',
  repetition_penalty: 'repetitionPenalty',
  presence_penalty: 'presencePenalty',
  frequency_penalty: 'frequencyPenalty',
  logit_bias: 'logitBias',
  allowed_token_ids: 'allowedTokenIds',
  bad_words: 'badWords',
  bad_words_token_ids: 'badWordsTokenIds',
  prompt_logprobs: 'promptLogprobs',
  early_stop_config: 'earlyStop',
  logits_processors_args: 'logitsProcessorsArgs',
  stop: 'stop',
  stop_token_ids: 'stopTokenIds',
  include_stop_str_in_output: 'includeStopStrInOutput',
  ignore_eos: 'ignoreEos',
  min_tokens: 'minTokens',
  skip_special_tokens: 'skipSpecialTokens',
  seed: 'seed',
  n: 'n',
} as const satisfies Readonly<Record<keyof typeof samplingFields, keyof SamplingParams>>

const namePairs = Object.entries(engineNames) as [keyof typeof samplingFields, keyof SamplingParams][]

/** The sampling parameters of a body in the engine's terms; the model's own defaults fill the rest. */
export function samplingParams(body: Readonly<Partial<Record<keyof typeof samplingFields, unknown>>>): SamplingParams {
  // the schema has checked the types
  return Object.fromEntries(namePairs.map(([api, engine]) => [engine, body[api]])) as SamplingParams
}

/** Names of the engine that stand for no parameter of sampling. */
const otherNames = [
  ['cacheSalt', 'cache_salt'],
  ['bestOf', 'best_of'],
  ['beamWidth', 'beam_width'],
  ['lengthPenalty', 'length_penalty'],
  ['toolChoice', 'tool_choice'],
  ['parallelToolCalls', 'parallel_tool_calls'],
  ['enableThinking', 'enable_thinking'],
  ['reasoningEffort', 'reasoning_effort'],
  ['thinkingTokenBudget', 'thinking_token_budget'],
  ['toolCallParser', '--tool-call-parser'],
  ['reasoningParser', '--reasoning-parser'],
] as const

/** Text of the engine in the terms of the API: `minTokens` is `min_tokens` to a client. */
export function inApiTerms(text: string, maxTokensName: string): string {
  const apiNames = new Map<string, string>(Object.entries(engineNames).map(([api, engine]) => [engine, api]))
  apiNames.set('maxTokens', maxTokensName)
  for (const [engine, api] of otherNames) apiNames.set(engine, api)
  return text.replace(/\b[a-z]+[A-Z]\w*\b/g, (word) => apiNames.get(word) ?? word)
}

const streamFields = {
  stream: z.boolean().default(false),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().optional(),
      include_obfuscation: z.literal(false, 'only false is supported; remove it').optional(),
      continuous_usage_stats: z.literal(false, 'only false is supported; remove it').optional(),
    })
    .optional(),
}

/** Adds the faults that `stream_options` without `stream` is, as at OpenAI, and `prompt_logprobs` with it, as in vLLM. */
function checkStreamOptions(
  body: { readonly stream: boolean; readonly stream_options?: unknown; readonly prompt_logprobs?: unknown },
  context: z.RefinementCtx,
): void {
  if (body.stream && body.prompt_logprobs !== undefined)
    context.addIssue({ code: 'custom', path: ['prompt_logprobs'], message: 'is not streamed; remove stream' })
  if (body.stream_options !== undefined && !body.stream)
    context.addIssue({ code: 'custom', path: ['stream_options'], message: 'needs "stream": true' })
}

/** What a chat and a text are asked for alike. */
export const generationFields = {
  ...samplingFields,
  ...beamFields,
  ...schedulingFields,
  ...structuredFields,
  ...streamFields,
  ...labels,
}

/** Adds the faults of those that do not go together. */
export function checkGeneration(
  body: Readonly<Record<string, unknown>> & { readonly stream: boolean },
  context: z.RefinementCtx,
): void {
  checkStreamOptions(body, context)
  checkBeamSearch(body, context)
}
