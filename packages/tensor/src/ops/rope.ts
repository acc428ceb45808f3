import { expectInput, expectShape, type Op } from '../op.ts'
import { colsOf, sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom } from './random.ts'

/**
 * Rotation angles of each row: R positions and P inverse frequencies give [R, 2P], cosines then sines, times `scale`
 * (the attention factor of yarn). Computed once per step and used by every layer. The angle is rounded to f32 first, as
 * the reference libraries do.
 */
export const ropeTableOp: Op = {
  name: 'ropeTable',
  inputs: ['positions', 'inverseFrequencies'],
  attributes: ['scale'],
  rowInputs: [0],
  tolerance: { absolute: 1e-6, relative: 0 },
  infer([positions, frequencies]) {
    const p = expectInput('ropeTable', positions, 'positions', 1, 'i32')
    const f = expectInput('ropeTable', frequencies, 'inverseFrequencies', 1, 'f32')
    return [{ shape: [p.shape[0]!, 2 * f.shape[0]!], dtype: 'f32' }]
  },
  reference([positions, frequencies], [out], { scale }) {
    const pairs = frequencies!.cols
    for (let r = 0; r < out!.rows; r++)
      for (let i = 0; i < pairs; i++) {
        const angle = Math.fround(positions!.item(r) * frequencies!.item(i))
        out!.set(r, i, Math.cos(angle) * scale!)
        out!.set(r, pairs + i, Math.sin(angle) * scale!)
      }
  },
  cost(_inputs, [out]) {
    return { flops: 20 * sizeOf(out!), bytes: 4 * sizeOf(out!) }
  },
  cases() {
    const random = new CaseRandom(4)
    return [
      [1, 1],
      [5, 6],
      [33, 32],
    ].map(([rows, pairs]) => ({
      label: `${rows} rows, ${pairs} pairs`,
      inputs: [random.integers([rows!], 5000), random.normal([pairs!])],
      attributes: { scale: 1.5 },
    }))
  },
}

/**
 * Rotates each head of x [R, H * headDim] by the row's angles (Su et al. 2021, halves as in Llama): column i of a head is
 * paired with i + P, where 2P = rotary columns; columns past 2P pass through.
 */
export const ropeOp: Op = {
  name: 'rope',
  inputs: ['x', 'table'],
  attributes: ['headDim'],
  rowInputs: [0, 1],
  tolerance: { absolute: 1e-5, relative: 1e-5 },
  infer([x, table], { headDim }) {
    const a = expectInput('rope', x, 'x', 2, 'f32')
    const t = expectInput('rope', table, 'table', 2, 'f32')
    expectShape('rope', a.shape[0] === t.shape[0], () => `x is [${a.shape}] and the table [${t.shape}]`)
    expectShape(
      'rope',
      colsOf(a) % headDim! === 0 && colsOf(t) <= headDim!,
      () => `heads of ${headDim} in [${a.shape}]`,
    )
    return [{ shape: a.shape, dtype: 'f32' }]
  },
  reference([x, table], [out], { headDim }) {
    const pairs = table!.cols / 2
    for (let r = 0; r < x!.rows; r++)
      for (let head = 0; head < x!.cols; head += headDim!) {
        for (let i = 0; i < pairs; i++) {
          const [a, b] = [x!.at(r, head + i), x!.at(r, head + pairs + i)]
          const [cos, sin] = [table!.at(r, i), table!.at(r, pairs + i)]
          out!.set(r, head + i, a * cos - b * sin)
          out!.set(r, head + pairs + i, b * cos + a * sin)
        }
        for (let c = 2 * pairs; c < headDim!; c++) out!.set(r, head + c, x!.at(r, head + c))
      }
  },
  cost([x]) {
    return { flops: 3 * sizeOf(x!), bytes: 8 * sizeOf(x!) }
  },
  cases() {
    const random = new CaseRandom(5)
    return [
      [1, 2, 2, 1],
      [5, 48, 12, 6],
      [7, 128, 32, 8],
      [33, 192, 64, 32],
    ].map(([rows, cols, headDim, pairs]) => ({
      label: `${rows}x${cols} in heads of ${headDim}, ${pairs} pairs`,
      inputs: [random.normal([rows!, cols!]), random.normal([rows!, 2 * pairs!])],
      attributes: { headDim: headDim! },
    }))
  },
}

export function ropeTable(positions: Tensor, inverseFrequencies: Tensor, scale: number): Tensor {
  return positions.device.record(ropeTableOp, [positions, inverseFrequencies], { scale })[0]!
}

export function rope(x: Tensor, table: Tensor, headDim: number): Tensor {
  return x.device.record(ropeOp, [x, table], { headDim })[0]!
}
