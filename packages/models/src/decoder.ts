import { ropeInverseFrequencies, type ModelConfig } from '@slipway/checkpoint'
import {
  attention,
  embedding,
  rmsNorm,
  ropeTable,
  ropeWrite,
  selectRows,
  SlipwayError,
  type Device,
  type KvCache,
  type Tensor,
} from '@slipway/tensor'
import { denseFeedForward, sparseFeedForward, type ExpertTraits, type FeedForward } from './feed-forward.ts'
import { decoderHeads } from './heads.ts'
import type { LanguageModel, ModelBatch } from './model.ts'
import { project, type Projection, type RowAdapters, type Weights } from './weights.ts'

/** What tells one decoder from another; everything else is in the config. */
export interface DecoderTraits {
  readonly qkvBias: boolean
  /** Bias of the attention's output projection. */
  readonly outputBias: boolean
  readonly mlpBias: boolean
  /** RMS norm over each head of q and k, before rope. */
  readonly qkNorm: boolean
  /** How the experts of the sparse layers are found and weighted; absent: no layer is sparse. */
  readonly experts?: ExpertTraits
}

interface Layer {
  readonly inputNorm: Tensor
  readonly qkv: Projection
  readonly qNorm: Tensor | undefined
  readonly kNorm: Tensor | undefined
  readonly output: Projection
  readonly postNorm: Tensor
  readonly feedForward: FeedForward
  /** Tokens seen by this layer; 0 is all. */
  readonly window: number
}

/** Where rows stand, as attention needs it. */
type Places = Pick<ModelBatch, 'blockTables' | 'sequences' | 'positions'>

/** A pre-norm decoder with rotary grouped-query attention and SwiGLU, dense or sparse: Llama, Qwen, Mixtral and their kin. */
export function decoder(device: Device, config: ModelConfig, weights: Weights, traits: DecoderTraits): LanguageModel {
  if (config.hiddenAct !== 'silu')
    throw new SlipwayError('unsupported', `hidden_act "${config.hiddenAct}": this architecture is built for silu`)
  const { hiddenSize, vocabSize, headDim } = config
  const qWidth = config.numHeads * headDim
  const kvWidth = config.numKvHeads * headDim

  // embedding models are saved without what stands around the decoder
  const prefix = weights.has('model.embed_tokens.weight') ? 'model.' : ''
  const embed = weights.matrix(`${prefix}embed_tokens.weight`, vocabSize, hiddenSize)
  const layers = Array.from({ length: config.numLayers }, (_, i): Layer => {
    const name = `${prefix}layers.${i}`
    const projections = ['q_proj', 'k_proj', 'v_proj'].map((p) => `${name}.self_attn.${p}`)
    return {
      inputNorm: weights.vector(`${name}.input_layernorm.weight`, hiddenSize),
      qkv: weights.linear(projections, [qWidth, kvWidth, kvWidth], hiddenSize, traits.qkvBias),
      qNorm: traits.qkNorm ? weights.vector(`${name}.self_attn.q_norm.weight`, headDim) : undefined,
      kNorm: traits.qkNorm ? weights.vector(`${name}.self_attn.k_norm.weight`, headDim) : undefined,
      output: weights.linear([`${name}.self_attn.o_proj`], [hiddenSize], qWidth, traits.outputBias),
      postNorm: weights.vector(`${name}.post_attention_layernorm.weight`, hiddenSize),
      feedForward: config.experts?.sparseLayers[i]
        ? sparseFeedForward(weights, name, config, traits.experts)
        : denseFeedForward(weights, name, config, traits.mlpBias),
      window: config.layerTypes[i] === 'sliding' ? (config.slidingWindow ?? 0) : 0,
    }
  })
  const norm = weights.vector(`${prefix}norm.weight`, hiddenSize)
  const { vocabulary, head, unused } = decoderHeads(weights, config, prefix, embed)
  const isHead = vocabulary && 'weight' in vocabulary && vocabulary.weight === embed.weight
  if (!isHead) weights.lookedUp(embed)
  weights.finish([/rotary_emb\.inv_freq$/, ...unused])

  const { inverseFrequencies, attentionScale } = ropeInverseFrequencies(config)
  const frequencies = device.tensor(inverseFrequencies, [inverseFrequencies.length], 'f32')
  const eps = config.rmsNormEps

  /** Stores keys and values of all rows, and gives their queries. */
  function storeKeys(
    x: Tensor,
    layer: Layer,
    cache: KvCache,
    angles: Tensor,
    slots: Tensor,
    adapters?: RowAdapters,
  ): Tensor {
    const qkv = project(x, layer.qkv, { norm: { weight: layer.inputNorm, eps } }, adapters)
    return ropeWrite(qkv, angles, cache, slots, { headDim, qNorm: layer.qNorm, kNorm: layer.kNorm, eps })
  }

  /** Attention and its output projection, added to x. */
  function attend(x: Tensor, q: Tensor, layer: Layer, cache: KvCache, at: Places, adapters?: RowAdapters): Tensor {
    const mixed = attention(q, cache, {
      ...at,
      numHeads: config.numHeads,
      numKvHeads: config.numKvHeads,
      scale: headDim ** -0.5,
      window: layer.window,
    })
    return project(mixed, layer.output, { residual: x }, adapters)
  }

  /** The last layer's results for the rows that are asked for, before the norm. */
  function run(batch: ModelBatch, caches: readonly KvCache[]): Tensor | undefined {
    const angles = ropeTable(batch.ropePositions ?? batch.positions, frequencies, attentionScale)
    let at: Places = batch
    const withTables = (places: Tensor | undefined): RowAdapters | undefined =>
      places && weights.adapters && { tables: weights.adapters, places }
    let adapters = withTables(batch.adapters)
    let x = embedding(embed, batch.ids)
    for (const [i, layer] of layers.entries()) {
      let q = storeKeys(x, layer, caches[i]!, angles, batch.slots, adapters)
      if (i === layers.length - 1) {
        // after the last keys only the rows that are asked for go on
        if (!batch.logits) return undefined
        const { rows, positions, sequences } = batch.logits
        at = { positions, sequences, blockTables: batch.blockTables }
        adapters = withTables(batch.logits.adapters)
        x = selectRows(x, rows)
        q = selectRows(q, rows)
      }
      x = attend(x, q, layer, caches[i]!, at, adapters)
      x = layer.feedForward(x, { weight: layer.postNorm, eps }, adapters)
    }
    return x
  }

  return {
    config,
    numParameters: weights.numParameters,
    attention: 'causal',
    head,
    forward(batch, caches) {
      if (!vocabulary) throw new SlipwayError('internal', `a model loaded to ${weights.purpose} has no logits`)
      const x = run(batch, caches)
      return x && project(x, vocabulary, { norm: { weight: norm, eps } })
    },
    states(batch, caches) {
      const x = run(batch, caches)
      return x && rmsNorm(x, norm, eps)
    },
  }
}
