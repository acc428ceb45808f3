import { Tokenizer, type PoolingConfig } from '@slipway/checkpoint'
import type { LanguageModel, Purpose } from '@slipway/models'
import { SlipwayError } from '@slipway/tensor'
import type { ResolvedEngineOptions } from '../options.ts'
import type { PoolingInfo } from './pooling-params.ts'

/** What a model is loaded for: as the options say, else as its files do. */
export function purposeOf(config: PoolingConfig, { task, pooling }: ResolvedEngineOptions): Purpose {
  if (task !== 'auto') return task
  return pooling?.classTokens ? 'classify' : config.purpose
}

/** The ids of the texts whose logits are classes; each must be a single token. */
export async function classTokenIds(
  directory: string,
  config: PoolingConfig,
  { pooling }: ResolvedEngineOptions,
): Promise<number[] | undefined> {
  const texts = pooling?.classTokens ?? config.classTokens
  if (texts.length === 0) return undefined
  const tokenizer = await Tokenizer.load(directory)
  return texts.map((text) => {
    const ids = tokenizer.encode(text, { addSpecialTokens: false })
    if (ids.length === 1) return ids[0]!
    throw new SlipwayError('request', `option pooling.classTokens: "${text}" is ${ids.length} tokens, not one`, {
      param: 'pooling.classTokens',
    })
  })
}

/** What the front has to know of a model that pools. */
export function poolingInfoOf(
  config: PoolingConfig,
  model: Pick<LanguageModel, 'attention' | 'config' | 'head'>,
  { pooling = {}, maxModelLen }: ResolvedEngineOptions,
  maxTokens: number,
): PoolingInfo {
  const { numLabels = 0 } = model.head ?? {}
  const types = model.config.raw['type_vocab_size']
  const returnedLabels = pooling.returnedTokenIds
  const beyond = returnedLabels?.find((label) => label >= numLabels)
  if (beyond !== undefined)
    throw new SlipwayError(
      'request',
      `option pooling.returnedTokenIds: the model has ${numLabels} classes, no ${beyond}`,
      {
        param: 'pooling.returnedTokenIds',
      },
    )
  const classTokens = pooling.classTokens ?? config.classTokens
  const names = classTokens.length === numLabels ? classTokens : config.labels
  // a checkpoint that was made to classify tokens has no way of its own to embed a text
  const ofText = model.attention === 'causal' ? 'last' : 'cls'
  const ownType = numLabels === 0 && (config.type === 'all' || config.type === 'step') ? ofText : config.type
  const info: PoolingInfo = {
    type: pooling.type ?? ownType,
    normalize: pooling.normalize ?? config.normalize,
    activation: pooling.activation ?? config.activation ?? (numLabels === 1 ? 'sigmoid' : 'softmax'),
    hiddenSize: model.config.hiddenSize,
    labels: Array.from({ length: numLabels }, (_, i) => names[i] ?? `LABEL_${i}`),
    stepTagId: pooling.stepTagId ?? config.stepTagId,
    returnedLabels,
    numTokenTypes: typeof types === 'number' ? types : 1,
    maxTokens: maxModelLen === undefined ? Math.min(maxTokens, config.maxTokens ?? maxTokens) : maxTokens,
  }
  if (info.type === 'step' && info.stepTagId === null)
    throw new SlipwayError('request', 'option pooling.stepTagId: pooling of steps needs the token that marks them', {
      param: 'pooling.stepTagId',
    })
  return info
}
