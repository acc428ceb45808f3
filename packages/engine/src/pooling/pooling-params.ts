import { classActivations, type ClassActivation, type PoolingType } from '@slipway/checkpoint'
import { SlipwayError } from '@slipway/tensor'
import { z } from 'zod'
import { parseOptions } from '../options.ts'

/** What can be asked of a text that is not to be continued; named as vLLM names it. */
export const poolingTasks = ['embed', 'token_embed', 'classify', 'token_classify', 'score'] as const
export type PoolingTaskName = (typeof poolingTasks)[number]

/** What a loaded model does with texts, as the front needs to know it; nothing of it where it only generates. */
export interface PoolingInfo {
  readonly type: PoolingType
  /** Embeddings have length 1. */
  readonly normalize: boolean
  readonly activation: ClassActivation
  readonly hiddenSize: number
  /** Names of the classes; empty where the model has none. */
  readonly labels: readonly string[]
  readonly stepTagId: number | null
  /** Classes that are given back, by index; all where absent. */
  readonly returnedLabels: readonly number[] | undefined
  /** Kinds of tokens that the model tells apart in a text of two parts. */
  readonly numTokenTypes: number
  /** Longest text in tokens. */
  readonly maxTokens: number
}

export interface PoolingParams {
  /** Of embeddings: the first so many elements, brought to length 1 again where they are normalised (Matryoshka). */
  readonly dimensions?: number | undefined
  /** Brings embeddings to length 1; default: as the model says. */
  readonly normalize?: boolean | undefined
  /** Of classes; default: as the model says. */
  readonly activation?: ClassActivation | undefined
  /** Longer texts are cut to so many tokens, -1: to what the model takes; default: they are refused. */
  readonly truncatePromptTokens?: number | undefined
  /** The side that is cut; tokens that the tokenizer puts at the ends stay. */
  readonly truncationSide?: 'left' | 'right' | undefined
  readonly addSpecialTokens?: boolean | undefined
}

const schema = z.strictObject({
  dimensions: z.int().min(1).optional(),
  normalize: z.boolean().optional(),
  activation: z.enum(classActivations).optional(),
  truncatePromptTokens: z
    .int()
    .min(-1)
    .max(2 ** 31 - 1)
    .optional(),
  truncationSide: z.enum(['left', 'right']).default('right'),
  addSpecialTokens: z.boolean().default(true),
})

/** What is done with the states of one text, decided. Survives `postMessage`. */
export interface PoolingRequest {
  readonly type: PoolingType
  /** Whether pooled states go through the model's head. */
  readonly usesHead: boolean
  readonly normalize: boolean
  readonly activation: ClassActivation
  readonly dimensions: number | undefined
  readonly stepTagId: number | null
  readonly returnedLabels: readonly number[] | undefined
  /** To which part of the text each token belongs. */
  readonly typeIds: readonly number[] | undefined
}

export type ResolvedPoolingParams = Readonly<z.output<typeof schema>>

/** Fills in defaults; a `request` error names the parameter at fault. */
export function resolvePoolingParams(params: PoolingParams, { maxTokens }: PoolingInfo): ResolvedPoolingParams {
  const given = Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined))
  const resolved = parseOptions(schema, given, 'parameter')
  const { truncatePromptTokens: length } = resolved
  if (length === 0 || (length !== undefined && length > maxTokens))
    throw new SlipwayError(
      'request',
      `parameter truncatePromptTokens: ${length} is not from 1 to ${maxTokens}, the longest text of this model, nor -1`,
      { param: 'truncatePromptTokens' },
    )
  return resolved
}

/** The tasks that a model can do. */
export function tasksOf({ labels, type }: PoolingInfo): readonly PoolingTaskName[] {
  const isByToken = type === 'all' || type === 'step'
  if (labels.length === 0) return isByToken ? ['token_embed'] : ['embed', 'token_embed', 'score']
  if (isByToken) return ['token_classify']
  return labels.length === 1 ? ['classify', 'token_classify', 'score'] : ['classify', 'token_classify']
}

/** What the engine has to do for a task; a `request` error where the model or the parameters do not fit. */
export function poolingRequestOf(
  task: PoolingTaskName,
  { dimensions, normalize, activation }: ResolvedPoolingParams,
  info: PoolingInfo,
  typeIds: readonly number[] | undefined,
): PoolingRequest {
  const tasks = tasksOf(info)
  if (!tasks.includes(task))
    throw new SlipwayError('request', `this model cannot do the task "${task}"; it can do ${tasks.join(', ')}`, {
      code: 'task_not_supported',
    })
  const usesHead = info.labels.length > 0
  const refuse = (param: string, reason: string): never => {
    throw new SlipwayError('request', `parameter ${param}: ${reason}; remove it`, { param })
  }
  if (usesHead && dimensions !== undefined) refuse('dimensions', 'this model gives classes, not embeddings')
  if (usesHead && normalize !== undefined) refuse('normalize', 'this model gives classes, not embeddings')
  if (!usesHead && activation !== undefined) refuse('activation', 'this model gives embeddings, not classes')
  if (dimensions !== undefined && dimensions > info.hiddenSize)
    refuse('dimensions', `${dimensions} is above the ${info.hiddenSize} of this model`)
  const byToken = task === 'token_embed' || task === 'token_classify'
  return {
    type: byToken && info.type !== 'step' ? 'all' : info.type,
    usesHead,
    normalize: !usesHead && (normalize ?? info.normalize),
    activation: usesHead ? (activation ?? info.activation) : 'none',
    dimensions,
    stepTagId: info.stepTagId,
    returnedLabels: usesHead ? info.returnedLabels : undefined,
    typeIds,
  }
}
