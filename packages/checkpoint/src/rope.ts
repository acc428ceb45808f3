import type { RopeConfig, RopeScaling } from './rope-config.ts'

export interface RopeFrequencies {
  /** Radians per position, [rotaryDim / 2]. */
  readonly inverseFrequencies: Float32Array
  /** Multiplies both cos and sin. */
  readonly attentionScale: number
}

/**
 * Frequencies of the rotary embedding, rounded to f32 where the original rounds.
 * Source: transformers 5.18, `modeling_rope_utils.py`, `ROPE_INIT_FUNCTIONS`; YaRN: https://arxiv.org/abs/2309.00071
 */
export function ropeInverseFrequencies(config: { readonly rope: RopeConfig }): RopeFrequencies {
  const { theta, rotaryDim, scaling } = config.rope
  const base = Float32Array.from({ length: rotaryDim / 2 }, (_, i) => 1 / wavelength(theta, i, rotaryDim))
  switch (scaling?.type) {
    case undefined:
      return { inverseFrequencies: base, attentionScale: 1 }
    case 'linear':
      return { inverseFrequencies: base.map((frequency) => frequency / scaling.factor), attentionScale: 1 }
    case 'llama3':
      return { inverseFrequencies: base.map((frequency) => llama3(frequency, scaling)), attentionScale: 1 }
    case 'yarn':
      return yarn(config.rope, scaling)
  }
}

const f = Math.fround

/** theta^(2i/d), of which the original rounds both the exponent and the power to f32. */
function wavelength(theta: number, i: number, rotaryDim: number): number {
  return f(f(theta) ** f((2 * i) / rotaryDim))
}

/** Leaves short wavelengths, divides long ones by the factor, and slides between the two. */
function llama3(frequency: number, scaling: RopeScaling & { type: 'llama3' }): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling
  // a number divided by a tensor is a product with the reciprocal there
  const length = f(f(1 / frequency) * f(2 * Math.PI))
  if (length < original / highFreqFactor) return frequency
  if (length > original / lowFreqFactor) return f(frequency / factor)
  const smooth = f(f(f(f(1 / length) * original) - lowFreqFactor) / (highFreqFactor - lowFreqFactor))
  return f(f(f(f(1 - smooth) * frequency) / factor) + f(smooth * frequency))
}

function yarn(rope: RopeConfig, scaling: RopeScaling & { type: 'yarn' }): RopeFrequencies {
  const { theta, rotaryDim } = rope
  const { factor, betaFast, betaSlow, truncate, originalMaxPositionEmbeddings: original } = scaling
  // the dimension whose wave turns this many times within the original context
  const dimension = (turns: number): number =>
    (rotaryDim * Math.log(original / (turns * 2 * Math.PI))) / (2 * Math.log(theta))
  const fast = dimension(betaFast)
  const slow = dimension(betaSlow)
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0)
  const high = Math.min(truncate ? Math.ceil(slow) : slow, rotaryDim - 1)
  // 0.001 prevents a division by zero
  const span = high === low ? high + 0.001 - low : high - low
  const inverseFrequencies = Float32Array.from({ length: rotaryDim / 2 }, (_, i) => {
    const ramp = Math.min(Math.max(f(f(i - f(low)) / f(span)), 0), 1)
    const kept = f(1 - ramp)
    const length = wavelength(theta, i, rotaryDim)
    return f(f(1 / f(f(factor) * length)) * f(1 - kept)) + f(f(1 / length) * kept)
  })
  return { inverseFrequencies, attentionScale: yarnAttentionScale(scaling) }
}

function yarnAttentionScale({ attentionFactor, factor, mscale, mscaleAllDim }: RopeScaling & { type: 'yarn' }): number {
  if (attentionFactor !== null) return attentionFactor
  const scale = (weight: number): number => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1)
  return mscale && mscaleAllDim ? scale(mscale) / scale(mscaleAllDim) : scale(1)
}
