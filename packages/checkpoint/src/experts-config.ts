import type { Fields } from './fields.ts'

/** The experts of a mixture, and which layers have them. */
export interface ExpertsConfig {
  readonly numExperts: number
  readonly numExpertsPerToken: number
  /** Width of one expert. */
  readonly intermediateSize: number
  /** Whether the weights of a token's experts add up to 1; null: the architecture decides. */
  readonly normTopkProb: boolean | null
  /** One per layer: whether it has experts or one feed-forward network for all tokens. */
  readonly sparseLayers: readonly boolean[]
}

/**
 * Reads the mixture of experts, null for a dense model. Of names known to several architectures: `num_experts` (Qwen) or
 * `num_local_experts` (Mixtral), `moe_intermediate_size` or else `intermediate_size`, `decoder_sparse_step`, `mlp_only_layers`.
 */
export function parseExperts(fields: Fields, numLayers: number): ExpertsConfig | null {
  const names = ['num_experts', 'num_local_experts']
  const numExperts = fields.integer(names, { min: 0 }) ?? 0
  if (numExperts === 0) return null
  const perToken = fields.count('num_experts_per_tok')
  if (perToken > numExperts) throw fields.fault('num_experts_per_tok', perToken, `at most the ${numExperts} experts`)
  const step = fields.integer(['decoder_sparse_step']) ?? 1
  const dense = parseDenseLayers(fields, numLayers)
  return {
    numExperts,
    numExpertsPerToken: perToken,
    intermediateSize: fields.count('moe_intermediate_size', 'intermediate_size'),
    normTopkProb: fields.boolean('norm_topk_prob') ?? null,
    sparseLayers: Array.from({ length: numLayers }, (_, layer) => !dense.has(layer) && (layer + 1) % step === 0),
  }
}

function parseDenseLayers(fields: Fields, numLayers: number): ReadonlySet<unknown> {
  if (!fields.has('mlp_only_layers')) return new Set()
  const value = fields.json['mlp_only_layers']
  const isLayer = (layer: unknown): boolean =>
    Number.isInteger(layer) && Number(layer) >= 0 && Number(layer) < numLayers
  if (!Array.isArray(value) || !value.every(isLayer))
    throw fields.fault('mlp_only_layers', value, `a list of layers from 0 to ${numLayers - 1}`)
  return new Set(value)
}
