import { coldBytes, f32, i32, noise, type BenchCase } from './bench-case.ts'
import { addLoraOp } from './ops/add-lora.ts'
import { loraSizes } from './ops/lora-layout.ts'

/** Adapters of rank 16 beside gate and up of Qwen2.5-0.5B: one for every row, and one for all. */
export function loraCases(): BenchCase[] {
  const [inputs, widths, maxRank] = [896, [4864, 4864], 16]
  const { down, up } = loraSizes({ inputs, widths, maxRank })
  // every set names other places
  const places = Math.ceil(coldBytes / (2 * (down + up)))
  return [
    [1, 1],
    [16, 16],
    [16, 1],
    [128, 1],
  ].map(([rows, used]) => ({
    op: addLoraOp,
    label: `${rows} rows, ${used} adapters of rank ${maxRank} bf16`,
    inputs: [
      f32(rows!, 2 * 4864),
      f32(rows!, inputs),
      i32((i, set) => (set * used! + (i % used!)) % places, rows!),
      { shape: [places, down], dtype: 'bf16', value: noise, role: 'vector' },
      { shape: [places, up], dtype: 'bf16', value: noise, role: 'vector' },
      i32(() => maxRank, places, 2),
      f32(places, 2),
    ],
    attributes: { maxRank, width0: 4864, width1: 4864, width2: 0 },
    sets: Math.floor(places / used!),
  }))
}
