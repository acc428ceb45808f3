import type { ModelConfig } from '@slipway/checkpoint'
import {
  combineExperts,
  expertLinear,
  quantizedExpertLinear,
  routeExperts,
  SlipwayError,
  type ExpertChoice,
  type ExpertFusion,
  type Fusion,
  type Tensor,
} from '@slipway/tensor'
import { project, type Projection, type RowAdapters, type Weights } from './weights.ts'

/** The second half of a layer: x plus what its network makes of norm(x). */
export type FeedForward = (x: Tensor, norm: NonNullable<Fusion['norm']>, adapters?: RowAdapters) => Tensor

/** Where the experts of a layer are in the checkpoint, and how they are weighted. */
export interface ExpertTraits {
  /** Module of the router and the experts within a layer. */
  readonly module: string
  /** Names of an expert's three projections. */
  readonly projections: { readonly gate: string; readonly up: string; readonly down: string }
  /** Whether a token's weights add up to 1 where the config does not say. */
  readonly normTopkProb: boolean
}

/** SwiGLU with one set of weights for all tokens. */
export function denseFeedForward(weights: Weights, layer: string, config: ModelConfig, hasBias: boolean): FeedForward {
  const { hiddenSize, intermediateSize } = config
  const modules = [`${layer}.mlp.gate_proj`, `${layer}.mlp.up_proj`]
  const gateUp = weights.linear(modules, [intermediateSize, intermediateSize], hiddenSize, hasBias)
  const down = weights.linear([`${layer}.mlp.down_proj`], [hiddenSize], intermediateSize, hasBias)
  return (x, norm, adapters) =>
    project(project(x, gateUp, { norm }, adapters), down, { siluMul: true, residual: x }, adapters)
}

/** SwiGLU with the experts that a router chooses for each token; the router is never quantised. */
export function sparseFeedForward(
  weights: Weights,
  layer: string,
  { modelType, hiddenSize, experts }: ModelConfig,
  traits: ExpertTraits | undefined,
): FeedForward {
  if (!experts || !traits)
    throw new SlipwayError('unsupported', `config.json speaks of experts, but "${modelType}" is built without them`)
  const { numExperts, intermediateSize } = experts
  const { gate, up, down } = traits.projections
  const module = `${layer}.${traits.module}`
  if (weights.has(`${module}.experts.gate_up_proj`))
    throw new SlipwayError(
      'unsupported',
      `tensor ${module}.experts.gate_up_proj holds all experts in one; take a checkpoint with one tensor per expert, as the Hub's are`,
      { tensor: `${module}.experts.gate_up_proj` },
    )
  // one matrix of the outputs of all experts
  const stack = (names: readonly string[], size: number, cols: number): Projection => {
    const modules = Array.from({ length: numExperts }, (_, e) => names.map((name) => `${module}.experts.${e}.${name}`))
    const sizes = modules.flat().map(() => size)
    return weights.experts(modules.flat(), sizes, cols)
  }
  const router = weights.matrix(`${module}.gate.weight`, numExperts, hiddenSize)
  const gateUp = stack([gate, up], intermediateSize, hiddenSize)
  const downs = stack([down], hiddenSize, intermediateSize)
  const routing = {
    k: experts.numExpertsPerToken,
    renormalise: experts.normTopkProb ?? traits.normTopkProb,
  }
  return (x, norm) => {
    const { ids, weights: shares } = routeExperts(project(x, router, { norm }), routing)
    const hidden = projectExperts(x, gateUp, { ids, numExperts, perSlot: false }, { norm })
    const results = projectExperts(hidden, downs, { ids, numExperts, perSlot: true }, { siluMul: true })
    return combineExperts(results, shares, x)
  }
}

function projectExperts(x: Tensor, weight: Projection, choice: ExpertChoice, fusion: ExpertFusion): Tensor {
  return 'words' in weight ? quantizedExpertLinear(x, weight, choice, fusion) : expertLinear(x, weight, choice, fusion)
}
