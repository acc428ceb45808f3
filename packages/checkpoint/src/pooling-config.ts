import { join } from 'node:path'
import { SlipwayError } from '@slipway/tensor'
import type { ModelConfig } from './config.ts'
import { Fields } from './fields.ts'
import { isObject, readJson, readJsonObject, show } from './json-file.ts'

/** Which states of a text become its result: the last token's, the first one's, their mean, all, or those at step tags. */
export const poolingTypes = ['last', 'cls', 'mean', 'all', 'step'] as const
export type PoolingType = (typeof poolingTypes)[number]

/** What is done to the scores of classes. */
export const classActivations = ['none', 'softmax', 'sigmoid'] as const
export type ClassActivation = (typeof classActivations)[number]

/** What a checkpoint says of its use, when it is not to generate. */
export interface PoolingConfig {
  readonly purpose: 'generate' | 'embed' | 'classify'
  readonly type: PoolingType
  /** Embeddings have length 1. */
  readonly normalize: boolean
  /** null: sigmoid for a single class, softmax for more. */
  readonly activation: ClassActivation | null
  /** Names of the classes in order; empty where the config has none. */
  readonly labels: readonly string[]
  /** Token behind which a step's score stands. */
  readonly stepTagId: number | null
  /** Texts whose tokens' logits are the classes, in place of a head (Qwen3-Reranker: no, yes). */
  readonly classTokens: readonly string[]
  /** Longest text by `sentence_bert_config.json`. */
  readonly maxTokens: number | null
}

/** Encoders never generate, whatever class a file names. */
const encoderTypes: ReadonlySet<string> = new Set(['bert', 'roberta', 'xlm-roberta'])

/** Reads what config.json and the files of the sentence-transformers library say; class names as vLLM reads them. */
export async function readPoolingConfig(directory: string, config: ModelConfig): Promise<PoolingConfig> {
  const sentence = await readSentenceFiles(directory)
  const fields = new Fields(config.raw, join(directory, 'config.json'))
  const { architecture } = config
  const isEncoder = encoderTypes.has(config.modelType)
  const classTokens = readTexts(fields, 'classifier_from_token')
  const isClassifier = /(Classification|RewardModel|RewardModeling)$/.test(architecture) || classTokens.length > 0
  const generates =
    architecture === '' || /(ForCausalLM|ForConditionalGeneration|LMHeadModel|ChatModel)$/.test(architecture)
  const purpose = isClassifier ? 'classify' : sentence.type || isEncoder || !generates ? 'embed' : 'generate'
  return {
    purpose,
    type: isClassifier ? classifierType(architecture, isEncoder) : (sentence.type ?? (isEncoder ? 'cls' : 'last')),
    normalize: sentence.type ? sentence.normalize : true,
    activation: activationOf(fields, architecture),
    labels: labelsOf(fields),
    stepTagId: fields.tokenId('step_tag_id'),
    classTokens,
    maxTokens: sentence.maxTokens,
  }
}

function classifierType(architecture: string, isEncoder: boolean): PoolingType {
  if (architecture.endsWith('ForProcessRewardModel')) return 'step'
  if (/(ForTokenClassification|ForRewardModel)$/.test(architecture)) return 'all'
  return isEncoder ? 'cls' : 'last'
}

function activationOf(fields: Fields, architecture: string): ClassActivation | null {
  const ofProblem = {
    regression: 'none',
    single_label_classification: 'softmax',
    multi_label_classification: 'sigmoid',
  }
  const problem = fields.string('problem_type')
  if (problem !== undefined && problem in ofProblem)
    return ofProblem[problem as keyof typeof ofProblem] as ClassActivation
  // cross-encoders of sentence-transformers name a class of torch
  const { sentence_transformers: own, sbert_ce_default_activation_function: old } = fields.json
  const name = (isObject(own) ? own['activation_fn'] : undefined) ?? old
  if (typeof name === 'string' && name.endsWith('.Identity')) return 'none'
  if (typeof name === 'string' && name.endsWith('.Sigmoid')) return 'sigmoid'
  // a reward is any number
  return architecture.endsWith('ForRewardModel') ? 'none' : null
}

function labelsOf(fields: Fields): string[] {
  const names = fields.json['id2label']
  if (!isObject(names)) return []
  return Array.from({ length: Object.keys(names).length }, (_, i) => {
    const name = names[String(i)]
    if (typeof name !== 'string') throw fields.fault('id2label', names, 'a name for each of the classes 0, 1, ...')
    return name
  })
}

function readTexts(fields: Fields, key: string): string[] {
  if (!fields.has(key)) return []
  const value = fields.json[key]
  if (Array.isArray(value) && value.length > 1 && value.every((text) => typeof text === 'string')) return value
  throw fields.fault(key, value, 'at least two texts')
}

interface SentenceFiles {
  /** Absent where the directory is not one of sentence-transformers. */
  readonly type: PoolingType | undefined
  readonly normalize: boolean
  readonly maxTokens: number | null
}

/** `modules.json` lists the steps from text to embedding; the folder of the pooling step tells its mode. */
async function readSentenceFiles(directory: string): Promise<SentenceFiles> {
  const file = join(directory, 'modules.json')
  const modules = await readJson(file)
  const limits = new Fields((await readJsonObject(join(directory, 'sentence_bert_config.json'))) ?? {}, file)
  const maxTokens = limits.integer(['max_seq_length']) ?? null
  if (modules === undefined) return { type: undefined, normalize: false, maxTokens }
  if (!Array.isArray(modules)) throw new SlipwayError('checkpoint', `${file}: expected a list, found ${show(modules)}`)
  let type: PoolingType | undefined
  let normalize = false
  for (const module of modules) {
    const { type: path, path: folder } = isObject(module) ? module : {}
    const name = typeof path === 'string' ? path.slice(path.lastIndexOf('.') + 1) : ''
    if (name === 'Pooling') type = await readPoolingMode(join(directory, typeof folder === 'string' ? folder : ''))
    else if (name === 'Normalize') normalize = true
    else if (name !== 'Transformer')
      throw new SlipwayError('unsupported', `${file}: there is no support for the module ${show(path)}`, { file })
  }
  return { type, normalize, maxTokens }
}

const modes: Readonly<Record<string, PoolingType>> = {
  cls_token: 'cls',
  cls: 'cls',
  mean_tokens: 'mean',
  mean: 'mean',
  lasttoken: 'last',
}

async function readPoolingMode(folder: string): Promise<PoolingType> {
  const file = join(folder, 'config.json')
  const json = (await readJsonObject(file)) ?? {}
  const single = json['pooling_mode']
  const names =
    typeof single === 'string'
      ? [single]
      : Object.keys(json).flatMap((key) => (json[key] === true ? (/^pooling_mode_(.+)$/.exec(key)?.[1] ?? []) : []))
  const type = names.length === 1 ? modes[names[0]!] : undefined
  if (type) return type
  const message = `${file}: the pooling is ${names.join(' and ') || 'not given'}; supported are ${Object.keys(modes).join(', ')}`
  throw new SlipwayError('unsupported', message, { file })
}
