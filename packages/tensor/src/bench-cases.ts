/** Ops in realistic shapes, to be timed by bench.ts. */
import { f32, i32, noise, type BenchCase, type BenchInput } from './bench-case.ts'
import { loraCases } from './bench-lora.ts'
import type { DType } from './dtype.ts'
import type { WeightRole } from './op.ts'
import { attentionOp } from './ops/attention.ts'
import { combineExpertsOp } from './ops/combine-experts.ts'
import { addOp, siluMulOp } from './ops/elementwise.ts'
import { embeddingOp } from './ops/embedding.ts'
import { expertLinearOp } from './ops/expert-linear.ts'
import { kvWriteOp } from './ops/kv-cache.ts'
import { linearOp } from './ops/linear.ts'
import { roundingOf, type ActivationType } from './ops/prologue.ts'
import { quantizedExpertLinearOp } from './ops/quantized-expert-linear.ts'
import { quantizedLinearOp } from './ops/quantized-linear.ts'
import { rmsNormOp } from './ops/rms-norm.ts'
import { ropeWriteOp } from './ops/rope-write.ts'
import { ropeOp, ropeTableOp } from './ops/rope.ts'
import { routeExpertsOp } from './ops/route-experts.ts'
import { layerNormOp } from './ops/layer-norm.ts'
import { activateOp } from './ops/activate.ts'
import { argmaxOp, logprobsOp } from './ops/logprobs.ts'
import { sampleOp } from './ops/sample.ts'

function linearCase(rows: number, k: number, n: number, dtype: DType, rowType?: ActivationType): BenchCase {
  const weight: BenchInput = {
    shape: [n, k],
    dtype,
    value: dtype === 'i8' ? (i: number) => noise(i) * 127 : noise,
    role: 'linear',
  }
  const scale = dtype === 'i8' ? f32(n) : undefined
  return {
    op: linearOp,
    label: `${rows}x${k} by ${n} ${dtype}${rowType ? `, rows in ${rowType}` : ''}`,
    inputs: [f32(rows, k), weight, scale, undefined, undefined, undefined],
    attributes: { prologue: 0, eps: 0, ...roundingOf(rowType) },
  }
}

function quantizedCase(rows: number, k: number, n: number, bits: number): BenchCase {
  const group = 128
  return {
    op: quantizedLinearOp,
    label: `${rows}x${k} by ${n}, ${bits} bits in groups of ${group}`,
    inputs: [f32(rows, k), ...quantizedWeight(n, k, bits, group), undefined, undefined, undefined, undefined],
    attributes: { bits, group, prologue: 0, eps: 0 },
  }
}

/** The experts of a layer of Qwen3-30B-A3B, chosen evenly: 8 of 128 for every row. */
function expertCases(rows: number): BenchCase[] {
  const [experts, slots, hidden, width, bits, group] = [128, 8, 2048, 768, 4, 128]
  const ids = i32((i, set) => (Math.floor(i / slots) + set + (i % slots) * (experts / slots)) % experts, rows, slots)
  // every set of a few rows reads experts that the others do not
  const sets = Math.max(1, experts / slots / rows)
  const products = [
    { name: 'gate and up', x: hidden, k: hidden, n: 2 * width, perSlot: 0, prologue: 0 },
    { name: 'down', x: slots * 2 * width, k: width, n: hidden, perSlot: 1, prologue: 2 },
  ]
  return [
    ...products.flatMap(({ name, x, k, n, perSlot, prologue }): BenchCase[] => {
      const choice = { numExperts: experts, perSlot, prologue, eps: 0 }
      const label = `${name}, ${rows} rows by ${slots} of ${experts} experts`
      const weight = { shape: [experts * n, k], dtype: 'bf16' as const, value: noise, role: 'linear' as const }
      return [
        ...(rows > 16
          ? []
          : [
              {
                op: expertLinearOp,
                label: `${label}, bf16`,
                inputs: [f32(rows, x), weight, ids, undefined],
                attributes: { ...choice, rounding: 0 },
                sets,
              },
            ]),
        {
          op: quantizedExpertLinearOp,
          label: `${label}, ${bits} bits`,
          inputs: [f32(rows, x), ...quantizedWeight(experts * n, k, bits, group), undefined, ids, undefined],
          attributes: { bits, group, ...choice },
          sets,
        },
      ]
    }),
    {
      op: routeExpertsOp,
      label: `${slots} of ${experts} for ${rows} rows`,
      inputs: [f32(rows, experts)],
      attributes: { k: slots, renormalise: 1 },
    },
    {
      op: combineExpertsOp,
      label: `${rows}x${slots}x${hidden}`,
      inputs: [f32(rows, slots * hidden), f32(rows, slots), f32(rows, hidden)],
      attributes: {},
    },
  ]
}

/** Words and scales. */
function quantizedWeight(n: number, k: number, bits: number, group: number): BenchInput[] {
  return [
    { shape: [n, (k * bits) / 32], dtype: 'u32', value: (i) => Math.imul(i, 0x9e3779b1) >>> 0, role: 'linear' },
    { shape: [n, k / group], dtype: 'f16', value: () => 0.01, role: 'linear' },
  ]
}

/** Heads of Qwen2.5 0.5B and 1.5B: query heads, key heads, columns. */
const small = [14, 2, 64] as const
const large = [12, 2, 128] as const

/** `rows` rows at the end of `keys` keys: one sequence in prefill, or `rows` sequences in decode. */
function attentionCase(
  prefill: boolean,
  rows: number,
  keys: number,
  dtype: DType,
  model: typeof small | typeof large,
): BenchCase {
  const [heads, kvHeads, headDim] = model
  const blockSize = 64
  const sequences = prefill ? 1 : rows
  const blocks = keys / blockSize
  const value = dtype === 'i8' ? (i: number): number => 127 * noise(i) : noise
  const shape = [blocks * sequences, blockSize]
  const cache = (role: WeightRole): BenchInput => ({ shape: [...shape, kvHeads * headDim], dtype, value, role })
  const scales: BenchInput = { shape: [...shape, kvHeads], dtype: 'f32', value: () => 0.01, role: 'keys' }
  return {
    op: attentionOp,
    label: `${prefill ? 'prefill' : 'decode'} ${rows}, ${keys} keys ${dtype}, ${heads}/${kvHeads} of ${headDim}`,
    inputs: [
      f32(rows, heads * headDim),
      cache('keys'),
      cache('values'),
      dtype === 'i8' ? scales : undefined,
      dtype === 'i8' ? scales : undefined,
      i32((i) => i, sequences, blocks),
      i32((i) => (prefill ? 0 : i), rows),
      i32((i) => (prefill ? keys - rows + i : keys - 1), rows),
    ],
    attributes: { numHeads: heads, numKvHeads: kvHeads, scale: headDim ** -0.5, window: 0 },
  }
}

/** Rows of Qwen2.5-0.5B between projection and attention. */
function ropeWriteCase(rows: number, dtype: DType): BenchCase {
  const [heads, kvHeads, headDim] = small
  const cache = (role: WeightRole): BenchInput => ({ shape: [64, 64, kvHeads * headDim], dtype, role })
  const scales: BenchInput | undefined =
    dtype === 'i8' ? { shape: [64, 64, kvHeads], dtype: 'f32', role: 'keys' } : undefined
  return {
    op: ropeWriteOp,
    label: `${rows} rows ${dtype}`,
    inputs: [
      f32(rows, (heads + 2 * kvHeads) * headDim),
      undefined,
      undefined,
      f32(rows, headDim),
      cache('keys'),
      cache('values'),
      scales,
      scales,
      i32((i) => i, rows),
    ],
    attributes: { headDim, eps: 1e-6 },
  }
}

function sampleCase(rows: number, label: string, params: readonly number[], mask?: number): BenchCase {
  const vocabulary = 151936
  return {
    op: sampleOp,
    label: `${rows}x${vocabulary} ${label}`,
    inputs: [
      { shape: [rows, vocabulary], dtype: 'f32', value: (i) => 12 * noise(i) ** 3 },
      { shape: [rows, 5], dtype: 'f32', value: (i) => params[i % 5]! },
      { shape: [rows, 2], dtype: 'u32', value: (i) => i },
      { shape: [rows], dtype: 'u32', value: (i) => i },
      mask === undefined ? undefined : { shape: [rows, vocabulary / 32], dtype: 'u32', value: () => mask },
    ],
    attributes: {},
  }
}

export function benchCases(): readonly BenchCase[] {
  const types = ['f32', 'bf16', 'f16', 'i8'] as const
  return [
    ...[1, 2, 4, 8, 64, 256].flatMap((rows) => types.map((dtype) => linearCase(rows, 2048, 2048, dtype))),
    linearCase(256, 2048, 2048, 'bf16', 'bf16'),
    ...types.map((dtype) => linearCase(1, 896, 151936, dtype)),
    ...[4, 8].flatMap((bits) => [
      // the layers of models of 0.5 and 1.5 billion parameters
      ...[1, 2, 4, 8, 16, 512].flatMap((rows) =>
        [
          [896, 1152],
          [896, 9728],
          [4864, 896],
          [1536, 8960],
          [8960, 1536],
        ].map(([k, n]) => quantizedCase(rows, k!, n!, bits)),
      ),
      quantizedCase(1, 896, 151936, bits),
    ]),
    ...[small, large].flatMap((model) => [
      ...(['bf16', 'i8'] as const).flatMap((dtype) => [
        attentionCase(false, 1, 4096, dtype, model),
        attentionCase(false, 8, 1024, dtype, model),
        attentionCase(true, 512, 512, dtype, model),
      ]),
      attentionCase(true, 256, 4096, 'bf16', model),
    ]),
    attentionCase(false, 1, 4096, 'f32', small),
    attentionCase(false, 1, 4096, 'f16', small),
    ...[1, 512].flatMap((rows) => (['bf16', 'i8'] as const).map((dtype) => ropeWriteCase(rows, dtype))),
    ...[1, 256].flatMap((rows): BenchCase[] => [
      { op: rmsNormOp, label: `${rows}x2048`, inputs: [f32(rows, 2048), f32(2048)], attributes: { eps: 1e-6 } },
      {
        op: layerNormOp,
        label: `${rows}x2048`,
        inputs: [f32(rows, 2048), f32(2048), f32(2048)],
        attributes: { eps: 1e-6 },
      },
      { op: activateOp, label: `${rows}x5632, gelu`, inputs: [f32(rows, 5632)], attributes: { kind: 0 } },
      { op: siluMulOp, label: `${rows}x2x5632`, inputs: [f32(rows, 2 * 5632)], attributes: {} },
      { op: addOp, label: `${rows}x2048`, inputs: [f32(rows, 2048), f32(rows, 2048)], attributes: {} },
      { op: ropeOp, label: `${rows}x2048`, inputs: [f32(rows, 2048), f32(rows, 64)], attributes: { headDim: 64 } },
      { op: ropeTableOp, label: `${rows}x64`, inputs: [i32((i) => i, rows), f32(32)], attributes: { scale: 1 } },
      {
        op: embeddingOp,
        label: `${rows} rows of 2048 bf16, packed table`,
        inputs: [
          { shape: [32000, 2048], dtype: 'bf16', value: noise, role: 'linear' },
          i32((i) => (i * 7919) % 32000, rows),
          undefined,
        ],
        attributes: {},
      },
      {
        op: kvWriteOp,
        label: `${rows}x256 bf16`,
        inputs: [
          { shape: [256, 32, 256], dtype: 'bf16', role: 'keys' },
          { shape: [256, 32, 256], dtype: 'bf16', role: 'values' },
          undefined,
          undefined,
          f32(rows, 256),
          f32(rows, 256),
          i32((i) => i, rows),
        ],
        attributes: {},
      },
    ]),
    ...[1, 16, 256].flatMap(expertCases),
    ...[1, 8].flatMap((rows) => [
      sampleCase(rows, 'greedy', [0, 0, 1, 0, 1]),
      sampleCase(rows, 'temperature 1', [1, 0, 1, 0, 1]),
      sampleCase(rows, 'topP 0.95', [1, 0, 0.95, 0, 1]),
      sampleCase(rows, 'topK 40', [1, 40, 1, 0, 1]),
      sampleCase(rows, 'typicalP 0.9', [1, 0, 1, 0, 0.9]),
      sampleCase(rows, 'every other token', [1, 0, 1, 0, 1], 0x55555555),
    ]),
    { op: argmaxOp, label: '1x151936', inputs: [f32(1, 151936)], attributes: {} },
    {
      op: logprobsOp,
      label: '1x151936, 20 best',
      inputs: [f32(1, 151936), i32((i) => i, 1)],
      attributes: { k: 20 },
    },
    ...loraCases(),
  ]
}
