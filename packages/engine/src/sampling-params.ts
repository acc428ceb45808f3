import { toSource, type GrammarSource, type GrammarSpec, type Trigger } from '@slipway/grammar'
import { SlipwayError } from '@slipway/tensor'
import { z } from 'zod'
import type { Thinking } from './thinking.ts'
import { earlyStopSchema } from './options.ts'

/** A constraint on the text; with `after` it holds from there on, such as behind the end of a model's thinking. */
export interface StructuredOutputs extends GrammarSpec {
  /** A text, or token ids, after which the constraint begins; absent: from the first token on. */
  readonly after?: string | readonly number[] | undefined
}

/** The constraint as the engine takes it. */
export interface Constraint {
  readonly source: GrammarSource
  readonly after: Trigger | undefined
}

/** What can be asked of one generation. Names and meanings are vLLM's, in camel case. */
export interface SamplingParams {
  /** Most tokens to generate; absent or null: until the model's length limit. */
  readonly maxTokens?: number | null | undefined
  /** No end of text before that many tokens. */
  readonly minTokens?: number | undefined
  /** 0 is greedy. */
  readonly temperature?: number | undefined
  readonly topP?: number | undefined
  /** 0 or -1 keeps all tokens. */
  readonly topK?: number | undefined
  /** Drops tokens less probable than this share of the best one. */
  readonly minP?: number | undefined
  /** Keeps the tokens of most usual surprise, until they have this share of probability; 1 keeps all. */
  readonly typicalP?: number | undefined
  readonly repetitionPenalty?: number | undefined
  readonly presencePenalty?: number | undefined
  readonly frequencyPenalty?: number | undefined
  /** Added to the logits of single tokens, by id, -100 to 100; -100 all but bans one. */
  readonly logitBias?: Readonly<Record<string, number>> | undefined
  /** Nothing but these tokens is generated; the ends of text are not among them unless named. */
  readonly allowedTokenIds?: readonly number[] | null | undefined
  /** Texts that are not generated, neither as they are nor behind a space. */
  readonly badWords?: string | readonly string[] | null | undefined
  /** The same as tokens: one id, or several in a row, of which the last is banned where the others were generated. */
  readonly badWordsTokenIds?: readonly (number | readonly number[])[] | null | undefined
  readonly stop?: string | readonly string[] | null | undefined
  readonly stopTokenIds?: readonly number[] | undefined
  /** Leaves the stop string in the text. */
  readonly includeStopStrInOutput?: boolean | undefined
  readonly ignoreEos?: boolean | undefined
  /** Ends an answer with `windowSize` tokens in a row of which the model was surer than `threshold`; false: never. */
  readonly earlyStop?: { readonly windowSize?: number; readonly threshold?: number } | false | null | undefined
  /** Arguments of logits processors, by the names under which the engine has them; only these are applied. */
  readonly logitsProcessorsArgs?: Readonly<Record<string, unknown>> | null | undefined
  /** The same seed gives the same text; absent: a random one. */
  readonly seed?: number | null | undefined
  /** Completions per prompt. */
  readonly n?: number | undefined
  /** So many are generated for the `n` that are given back: those of the highest log-probability in all. */
  readonly bestOf?: number | null | undefined
  /** Log-probabilities of the chosen token and of that many best ones; absent: none. */
  readonly logprobs?: number | null | undefined
  /** The same of every token of the prompt but the first. The prompt is then computed, cached or not. */
  readonly promptLogprobs?: number | null | undefined
  readonly skipSpecialTokens?: boolean | undefined
  /** Special tokens that stay in the text all the same, by id: those that mark reasoning and tool calls. */
  readonly keepSpecialTokens?: readonly number[] | undefined
  /** What the text must be: JSON by a schema, a regular expression, one of a list, or what a grammar accepts. */
  readonly structuredOutputs?: StructuredOutputs | null | undefined
  /** Where the model thinks: a constraint without `after` begins behind it, and it can be bounded. */
  readonly thinking?: Thinking | undefined
}

const integer = (low: number, high: number) => z.int().min(low).max(high)
const tagIds = z
  .array(integer(0, 2 ** 31 - 1))
  .min(1)
  .max(64)

const tokenId = integer(0, 2 ** 31 - 1)
const word = z.string().min(1).max(1000)

const schema = z.strictObject({
  maxTokens: integer(1, 2 ** 31 - 1).nullish(),
  minTokens: integer(0, 2 ** 31 - 1).default(0),
  temperature: z.number().min(0).max(100).default(1),
  topP: z.number().min(0).max(1).default(1),
  topK: integer(-1, 2 ** 31 - 1).default(0),
  minP: z.number().min(0).max(1).default(0),
  typicalP: z.number().min(0).max(1).default(1),
  repetitionPenalty: z.number().positive().max(100).default(1),
  presencePenalty: z.number().min(-2).max(2).default(0),
  frequencyPenalty: z.number().min(-2).max(2).default(0),
  logitBias: z
    .record(z.string().regex(/^\d{1,9}$/, 'must be a token id'), z.number().min(-100).max(100))
    .refine((bias) => Object.keys(bias).length <= 1024, 'has more than 1024 entries')
    .default({}),
  allowedTokenIds: z.array(tokenId).min(1, 'leaves no token; name some, or leave it out').nullish(),
  badWords: z
    .union([word, z.array(word).max(1024)])
    .nullish()
    .transform((words) => (words == null ? [] : typeof words === 'string' ? [words] : words)),
  badWordsTokenIds: z
    .array(z.union([tokenId.transform((id) => [id]), z.array(tokenId).min(1).max(1000)]))
    .max(1024)
    .nullish()
    .transform((words) => words ?? []),
  stop: z
    .union([word, z.array(word).max(64)])
    .nullish()
    .transform((stop) => (stop == null ? [] : typeof stop === 'string' ? [stop] : stop)),
  stopTokenIds: z.array(tokenId).max(1024).default([]),
  includeStopStrInOutput: z.boolean().default(false),
  ignoreEos: z.boolean().default(false),
  earlyStop: z.union([z.literal(false), earlyStopSchema]).nullish(),
  logitsProcessorsArgs: z
    .record(z.string(), z.unknown())
    .nullish()
    .transform((args) => args ?? {}),
  seed: integer(-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER).nullish(),
  n: integer(1, 128).default(1),
  bestOf: integer(1, 128).nullish(),
  logprobs: integer(0, 20).nullish(),
  promptLogprobs: integer(0, 20).nullish(),
  skipSpecialTokens: z.boolean().default(true),
  keepSpecialTokens: z.array(tokenId).max(64).default([]),
  structuredOutputs: z
    .strictObject({
      // what is in them is checked where it is understood
      json: z.unknown().optional(),
      jsonObject: z.boolean().optional(),
      regex: z.string().optional(),
      choice: z.array(z.string()).optional(),
      grammar: z.string().optional(),
      structuralTag: z.unknown().optional(),
      toolCalls: z.unknown().optional(),
      disableAnyWhitespace: z.boolean().optional(),
      after: z.union([word, z.array(tokenId).min(1).max(64)]).optional(),
    })
    .nullish(),
  thinking: z
    .strictObject({
      startIds: tagIds,
      endIds: tagIds,
      isOpen: z.boolean().optional(),
      maxTokens: integer(0, 2 ** 31 - 1).optional(),
    })
    .optional(),
})

function constraintOf({ after, ...spec }: StructuredOutputs, thinking: Thinking | undefined): Constraint {
  const behind = thinking && { thinking }
  const trigger = typeof after === 'string' ? { text: after } : after ? { tokenIds: after } : behind
  return { source: toSource(spec), after: trigger }
}

/** Every parameter decided: what the engine works with. */
export type ResolvedParams = Readonly<Omit<z.output<typeof schema>, 'structuredOutputs'>> & {
  readonly structuredOutputs: Constraint | undefined
}

/** What of a model limits the parameters. */
export interface ParamLimits {
  readonly vocabSize: number
  readonly maxModelLen: number
}

/** Fills in defaults and refuses what cannot be honoured, naming parameter, value and bound. */
export function resolveParams(params: SamplingParams, limits: ParamLimits): ResolvedParams {
  const parsed = schema.safeParse(params)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!
    const name = issue.path.map(String).join('.') || ('keys' in issue ? issue.keys.join(', ') : 'params')
    // the fault of a record's key says more than that the record is at fault
    const { message } = issue.code === 'invalid_key' ? (issue.issues[0] ?? issue) : issue
    throw new SlipwayError('request', `${name}: ${message}`, { param: name })
  }
  const { structuredOutputs, ...resolved } = parsed.data
  const { logitBias, stopTokenIds, allowedTokenIds, badWordsTokenIds } = resolved
  const named = {
    logitBias: Object.keys(logitBias).map(Number),
    stopTokenIds,
    allowedTokenIds: allowedTokenIds ?? [],
    badWordsTokenIds: badWordsTokenIds.flat(),
    thinking: resolved.thinking?.endIds ?? [],
  }
  for (const [param, ids] of Object.entries(named)) {
    const beyond = ids.find((id) => id >= limits.vocabSize)
    if (beyond !== undefined)
      throw new SlipwayError('request', `token id ${beyond} is outside the vocabulary of ${limits.vocabSize}`, {
        param,
      })
  }
  if (resolved.maxTokens != null && resolved.minTokens > resolved.maxTokens)
    throw new SlipwayError(
      'request',
      `minTokens ${resolved.minTokens} is above maxTokens ${resolved.maxTokens}; lower it`,
      { param: 'minTokens' },
    )
  const { n, bestOf } = resolved
  if (bestOf != null && bestOf < n)
    throw new SlipwayError('request', `bestOf ${bestOf} is below n ${n}; raise it, or leave it out`, {
      param: 'bestOf',
    })
  // the schema has checked its form
  return {
    ...resolved,
    structuredOutputs: structuredOutputs
      ? constraintOf(structuredOutputs as StructuredOutputs, resolved.thinking)
      : undefined,
  }
}
