import type { ModelConfig } from '@slipway/checkpoint'
import {
  activate,
  add,
  attention,
  columns,
  embedding,
  kvWrite,
  layerNorm,
  selectRows,
  SlipwayError,
  type Activation,
  type Tensor,
} from '@slipway/tensor'
import { head } from './heads.ts'
import type { Head, LanguageModel } from './model.ts'
import { project, type Projection, type Weights } from './weights.ts'

/** What tells one encoder from another. */
export interface EncoderTraits {
  /** Module of the encoder within a model that has a head. */
  readonly prefix: string
  /** The head of sequence classification: what is applied to the first token's state. */
  readonly sequenceHead: 'pooler' | 'dense'
}

interface Norm {
  readonly weight: Tensor
  readonly bias: Tensor
}

interface Layer {
  readonly qkv: Projection
  readonly output: Projection
  readonly attentionNorm: Norm
  readonly up: Projection
  readonly down: Projection
  readonly norm: Norm
}

const activationNames: Readonly<Record<string, Activation>> = {
  gelu: 'gelu',
  gelu_new: 'geluTanh',
  gelu_fast: 'geluTanh',
  gelu_pytorch_tanh: 'geluTanh',
  relu: 'relu',
}

/** A post-norm encoder with learned positions: BERT (Devlin et al. 2018), RoBERTa, XLM-R. */
export function encoder(config: ModelConfig, weights: Weights, traits: EncoderTraits): LanguageModel {
  const { hiddenSize, intermediateSize, numHeads, headDim, positionOffset, rmsNormEps: eps } = config
  const activation = activationNames[config.hiddenAct]
  if (!activation) throw new SlipwayError('unsupported', `hidden_act "${config.hiddenAct}" of an encoder`)
  const positionType = config.raw['position_embedding_type'] ?? 'absolute'
  if (positionType !== 'absolute')
    throw new SlipwayError('unsupported', `position_embedding_type ${JSON.stringify(positionType)}: only "absolute"`)
  const prefix = weights.has(`${traits.prefix}.embeddings.word_embeddings.weight`) ? `${traits.prefix}.` : ''

  const norm = (module: string): Norm => {
    // checkpoints made before 2019 keep TensorFlow's names
    const [weight, bias] = weights.has(`${module}.gamma`) ? ['gamma', 'beta'] : ['weight', 'bias']
    return {
      weight: weights.vector(`${module}.${weight}`, hiddenSize),
      bias: weights.vector(`${module}.${bias}`, hiddenSize),
    }
  }
  const embeddings = `${prefix}embeddings`
  const words = weights.matrix(`${embeddings}.word_embeddings.weight`, config.vocabSize, hiddenSize)
  weights.lookedUp(words)
  const numPositions = config.maxPositionEmbeddings + positionOffset
  const places = weights.table(`${embeddings}.position_embeddings.weight`, numPositions, hiddenSize, positionOffset)
  const numTypes = weights.shape(`${embeddings}.token_type_embeddings.weight`)[0]!
  const types = weights.table(`${embeddings}.token_type_embeddings.weight`, numTypes, hiddenSize)
  const inputNorm = norm(`${embeddings}.LayerNorm`)
  const layers = Array.from({ length: config.numLayers }, (_, i): Layer => {
    const name = `${prefix}encoder.layer.${i}`
    const inputs = ['query', 'key', 'value'].map((part) => `${name}.attention.self.${part}`)
    return {
      qkv: weights.linear(inputs, [hiddenSize, hiddenSize, hiddenSize], hiddenSize, true),
      output: weights.linear([`${name}.attention.output.dense`], [hiddenSize], hiddenSize, true),
      attentionNorm: norm(`${name}.attention.output.LayerNorm`),
      up: weights.linear([`${name}.intermediate.dense`], [intermediateSize], hiddenSize, true),
      down: weights.linear([`${name}.output.dense`], [hiddenSize], intermediateSize, true),
      norm: norm(`${name}.output.LayerNorm`),
    }
  })
  const classifier = weights.purpose === 'classify' ? classifierOf(weights, config, prefix, traits) : undefined
  weights.finish([/position_ids$/, /(^|\.)pooler\./, /^cls\./, /^lm_head\./, ...(classifier ? [] : [/^classifier\./])])

  const normalise = (x: Tensor, { weight, bias }: Norm): Tensor => layerNorm(x, weight, bias, eps)
  const refuse = (): never => {
    throw new SlipwayError('internal', `an encoder has no logits`)
  }
  return {
    config,
    numParameters: weights.numParameters,
    attention: 'bidirectional',
    head: classifier,
    forward: refuse,
    states({ ids, positions, slots, sequences, blockTables, ends, typeIds, logits }, caches) {
      if (!ends || !typeIds) throw new SlipwayError('internal', 'an encoder needs the ends and types of its rows')
      if (!logits) return undefined
      const embedded = add(embedding(words, ids), embedding(types, typeIds))
      let x = normalise(add(embedded, embedding(places, positions)), inputNorm)
      let at = { sequences, positions: ends, blockTables }
      for (const [i, layer] of layers.entries()) {
        const qkv = project(x, layer.qkv)
        let q = columns(qkv, 0, hiddenSize)
        const [k, v] = [1, 2].map((part) => columns(qkv, part * hiddenSize, (part + 1) * hiddenSize))
        kvWrite(caches[i]!, k!, v!, slots)
        if (i === layers.length - 1) {
          // after the last keys only the rows that are asked for go on
          const { rows, ...their } = logits
          at = { ...their, blockTables }
          x = selectRows(x, rows)
          q = selectRows(q, rows)
        }
        const shape = { numHeads, numKvHeads: numHeads, scale: headDim ** -0.5, window: 0 }
        const mixed = attention(q, caches[i]!, { ...at, ...shape })
        x = normalise(project(mixed, layer.output, { residual: x }), layer.attentionNorm)
        const hidden = activate(project(x, layer.up), activation)
        x = normalise(project(hidden, layer.down, { residual: x }), layer.norm)
      }
      return x
    },
  }
}

/** The head that the class of the checkpoint says. */
function classifierOf(weights: Weights, config: ModelConfig, prefix: string, { sequenceHead }: EncoderTraits): Head {
  const layers = config.architecture.endsWith('ForTokenClassification')
    ? [{ module: 'classifier' }]
    : sequenceHead === 'pooler'
      ? [{ module: `${prefix}pooler.dense`, activation: 'tanh' as const }, { module: 'classifier' }]
      : [{ module: 'classifier.dense', activation: 'tanh' as const }, { module: 'classifier.out_proj' }]
  return head(weights, layers, config.hiddenSize)
}
