import type { ModelConfig } from '@slipway/checkpoint'
import { activate, SlipwayError, type Activation, type LinearWeight, type Tensor } from '@slipway/tensor'
import type { Head } from './model.ts'
import { project, type Projection, type Weights } from './weights.ts'

/** What stands on top of a decoder, by what it was loaded for. */
interface DecoderHeads {
  readonly vocabulary: Projection | undefined
  readonly head: Head | undefined
  /** Tensors of the files that are not needed. */
  readonly unused: readonly RegExp[]
}

export function decoderHeads(weights: Weights, config: ModelConfig, prefix: string, embed: LinearWeight): DecoderHeads {
  const { hiddenSize, vocabSize } = config
  if (weights.purpose === 'embed') return { vocabulary: undefined, head: undefined, unused: [/^lm_head\./, /^score\./] }
  if (weights.purpose === 'classify') {
    const { classTokenIds } = weights
    const head = classTokenIds ? tokenHead(weights, config, prefix, classTokenIds) : scoreHead(weights, hiddenSize)
    return { vocabulary: undefined, head, unused: [/^lm_head\.weight$/] }
  }
  const isTied = config.tieWordEmbeddings ?? !weights.has('lm_head.weight')
  const vocabulary = isTied
    ? weights.head(`${prefix}embed_tokens`, vocabSize, hiddenSize, embed)
    : weights.head('lm_head', vocabSize, hiddenSize, undefined)
  return { vocabulary, head: undefined, unused: isTied ? [/^lm_head\.weight$/] : [] }
}

/** `score` of sequence classification and of reward models: one matrix, or two with a ReLU between (Qwen2.5-Math). */
function scoreHead(weights: Weights, hiddenSize: number): Head {
  if (weights.has('score.weight')) return head(weights, [{ module: 'score' }], hiddenSize)
  if (weights.has('score.0.weight'))
    return head(weights, [{ module: 'score.0', activation: 'relu' }, { module: 'score.2' }], hiddenSize)
  throw new SlipwayError('checkpoint', 'the checkpoint has no tensor score.weight, so it cannot classify')
}

/**
 * Logits of some tokens as scores of classes; of two tokens the difference of the second to the first, whose sigmoid is
 * the second one's share (Qwen3-Reranker: no, yes).
 */
function tokenHead(weights: Weights, config: ModelConfig, prefix: string, ids: readonly number[]): Head {
  const { hiddenSize, vocabSize } = config
  const name = weights.has('lm_head.weight') ? 'lm_head.weight' : `${prefix}embed_tokens.weight`
  const rows = weights.someRows(name, vocabSize, hiddenSize, ids)
  const [first, second] = rows as [Float32Array, Float32Array]
  const scores = rows.length === 2 ? [second.map((value, c) => value - first[c]!)] : rows
  const weight = weights.values(Float32Array.from(scores.flatMap((row) => [...row])), scores.length, hiddenSize)
  return { numLabels: scores.length, apply: (pooled) => project(pooled, weight) }
}

/** A dense layer of a head; its bias is taken if there is one. */
interface HeadLayer {
  readonly module: string
  readonly activation?: Activation
}

/** Dense layers one after another, never quantised; their sizes are those of the files. */
export function head(weights: Weights, layers: readonly HeadLayer[], hiddenSize: number): Head {
  let width = hiddenSize
  const parts = layers.map(({ module, activation }) => {
    const size = weights.shape(`${module}.weight`)[0]!
    const matrix = weights.matrix(`${module}.weight`, size, width)
    const weight = weights.has(`${module}.bias`) ? { ...matrix, bias: weights.vector(`${module}.bias`, size) } : matrix
    width = size
    return { weight, activation }
  })
  return {
    numLabels: width,
    apply: (pooled) =>
      parts.reduce<Tensor>((x, { weight, activation }) => {
        const y = project(x, weight)
        return activation ? activate(y, activation) : y
      }, pooled),
  }
}
