import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseConfig } from './config.ts'
import { readPoolingConfig, type PoolingConfig } from './pooling-config.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true }))))

const sizes = {
  hidden_size: 8,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  vocab_size: 8,
  max_position_embeddings: 16,
}

async function read(config: object, files: Readonly<Record<string, unknown>> = {}): Promise<PoolingConfig> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-pooling-'))
  folders.push(folder)
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true })
    await writeFile(join(folder, name), JSON.stringify(content))
  }
  return readPoolingConfig(folder, parseConfig({ ...sizes, ...config }))
}

const class_ = (name: string, type: string, more = {}) => ({ architectures: [name], model_type: type, ...more })
const module = (name: string, path = '') => ({ type: `sentence_transformers.models.${name}`, path })
const pooling = (mode: object) => ({
  'modules.json': [module('Transformer'), module('Pooling', '1_Pooling')],
  '1_Pooling/config.json': { word_embedding_dimension: 8, ...mode },
})

describe('what a class is for', () => {
  test.each<[object, Partial<PoolingConfig>]>([
    [class_('Qwen3ForCausalLM', 'qwen3'), { purpose: 'generate' }],
    [{ model_type: 'llama' }, { purpose: 'generate' }],
    [class_('Qwen3Model', 'qwen3'), { purpose: 'embed', type: 'last', normalize: true }],
    [class_('BertModel', 'bert'), { purpose: 'embed', type: 'cls', normalize: true }],
    [class_('BertForMaskedLM', 'bert'), { purpose: 'embed', type: 'cls' }],
    [class_('BertLMHeadModel', 'bert'), { purpose: 'embed' }],
    [class_('BertForSequenceClassification', 'bert'), { purpose: 'classify', type: 'cls', activation: null }],
    [class_('XLMRobertaForTokenClassification', 'xlm-roberta'), { purpose: 'classify', type: 'all' }],
    [class_('LlamaForSequenceClassification', 'llama'), { purpose: 'classify', type: 'last' }],
    [class_('Qwen2ForRewardModel', 'qwen2'), { purpose: 'classify', type: 'all', activation: 'none' }],
    [
      class_('Qwen2ForProcessRewardModel', 'qwen2', { step_tag_id: 7 }),
      { purpose: 'classify', type: 'step', stepTagId: 7, activation: null },
    ],
    [
      class_('Qwen3ForSequenceClassification', 'qwen3', { classifier_from_token: ['no', 'yes'] }),
      { purpose: 'classify', classTokens: ['no', 'yes'] },
    ],
  ])('%j', async (config, expected) => expect(await read(config)).toMatchObject(expected))
})

describe('activation and labels', () => {
  const classifier = (more: object) => class_('BertForSequenceClassification', 'bert', more)
  test.each<[object, Partial<PoolingConfig>]>([
    [{ problem_type: 'regression' }, { activation: 'none' }],
    [{ problem_type: 'single_label_classification' }, { activation: 'softmax' }],
    [{ problem_type: 'multi_label_classification' }, { activation: 'sigmoid' }],
    [{ sentence_transformers: { activation_fn: 'torch.nn.modules.linear.Identity' } }, { activation: 'none' }],
    [{ sbert_ce_default_activation_function: 'torch.nn.modules.activation.Sigmoid' }, { activation: 'sigmoid' }],
    [{ id2label: { 0: 'no', 1: 'yes' } }, { labels: ['no', 'yes'] }],
  ])('%j', async (more, expected) => expect(await read(classifier(more))).toMatchObject(expected))

  test('labels with a gap, and a single class token, are refused', async () => {
    await expect(read(classifier({ id2label: { 0: 'no', 2: 'yes' } }))).rejects.toThrow('"id2label"')
    await expect(read(classifier({ classifier_from_token: ['no'] }))).rejects.toThrow('at least two texts')
  })
})

describe('files of sentence-transformers', () => {
  const qwen = class_('Qwen3ForCausalLM', 'qwen3')
  test.each<[object, string]>([
    [{ pooling_mode_lasttoken: true, pooling_mode_cls_token: false }, 'last'],
    [{ pooling_mode_cls_token: true }, 'cls'],
    [{ pooling_mode_mean_tokens: true }, 'mean'],
    [{ pooling_mode: 'mean' }, 'mean'],
  ])('%j', async (mode, type) => {
    expect(await read(qwen, pooling(mode))).toMatchObject({ purpose: 'embed', type, normalize: false, maxTokens: null })
  })

  test('a norm and a longest text', async () => {
    const files = pooling({ pooling_mode_cls_token: true })
    files['modules.json'].push(module('Normalize', '2_Normalize'))
    const limits = { 'sentence_bert_config.json': { max_seq_length: 12 } }
    expect(await read(qwen, { ...files, ...limits })).toMatchObject({ normalize: true, maxTokens: 12 })
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['another mode', pooling({ pooling_mode_max_tokens: true }), 'the pooling is max_tokens'],
    [
      'two modes',
      pooling({ pooling_mode_cls_token: true, pooling_mode_mean_tokens: true }),
      'cls_token and mean_tokens',
    ],
    ['no mode', pooling({}), 'the pooling is not given'],
    ['another module', { 'modules.json': [module('Dense', '2_Dense')] }, 'sentence_transformers.models.Dense'],
    ['no list', { 'modules.json': {} }, 'expected a list'],
  ])('refuses %s', async (_, files, message) => {
    await expect(read(qwen, files)).rejects.toThrow(message)
  })
})

test('positions of RoBERTa begin behind those of the padding', () => {
  const roberta = parseConfig({ ...sizes, model_type: 'roberta', max_position_embeddings: 514, pad_token_id: 1 })
  expect(roberta).toMatchObject({ positionOffset: 2, maxPositionEmbeddings: 512 })
  expect(() => parseConfig({ ...sizes, model_type: 'roberta', max_position_embeddings: 2 })).toThrow(
    'more than the 2 positions',
  )
})
