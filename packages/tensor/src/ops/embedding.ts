import { bytesOf } from '../dtype.ts'
import { SlipwayError } from '../errors.ts'
import { expectInput, expectShape, type Op } from '../op.ts'
import { colsOf, type Tensor } from '../tensor.ts'
import { CaseRandom } from './random.ts'
import type { LinearWeight } from './linear.ts'

/** [V, D] table and R ids give [R, D] in f32. Row scales, when present, belong to an i8 table (a tied, quantised head). */
export const embeddingOp: Op = {
  name: 'embedding',
  inputs: ['table', 'ids', 'scale?'],
  attributes: [],
  rowInputs: [1],
  tolerance: { absolute: 0, relative: 0 },
  infer([table, ids, scale]) {
    const t = expectInput('embedding', table, 'table', 2, 'f32', 'bf16', 'f16', 'i8')
    const i = expectInput('embedding', ids, 'ids', 1, 'i32')
    expectShape(
      'embedding',
      (t.dtype === 'i8') === (scale !== undefined),
      () => 'an i8 table comes with row scales, others without',
    )
    return [{ shape: [i.shape[0]!, t.shape[1]!], dtype: 'f32' }]
  },
  reference([table, ids, scale], [out]) {
    for (let r = 0; r < out!.rows; r++) {
      const id = ids!.item(r)
      if (id < 0 || id >= table!.rows)
        throw new SlipwayError('internal', `embedding: id ${id} is outside 0..${table!.rows - 1}`)
      const factor = scale ? scale.item(id) : 1
      for (let c = 0; c < out!.cols; c++) out!.set(r, c, table!.at(id, c) * factor)
    }
  },
  cost([table], [out]) {
    return { flops: 0, bytes: out!.shape[0]! * colsOf(out!) * (bytesOf(table!.dtype) + 4) }
  },
  cases() {
    const random = new CaseRandom(1)
    return [
      ...[
        { rows: 1, vocabulary: 3, width: 1 },
        { rows: 5, vocabulary: 67, width: 48 },
        { rows: 33, vocabulary: 200, width: 129 },
      ].flatMap(({ rows, vocabulary, width }) =>
        (['f32', 'bf16', 'f16'] as const).map((dtype) => ({
          label: `${rows} of ${vocabulary}x${width} ${dtype}`,
          inputs: [
            random.normal([vocabulary, width], dtype, 1, 'linear'),
            random.integers([rows], vocabulary),
            undefined,
          ],
          attributes: {},
        })),
      ),
      {
        label: 'i8 with row scales',
        inputs: [random.integers([50, 40], 128, 'i8', 'linear'), random.integers([9], 50), random.normal([50])],
        attributes: {},
      },
    ]
  },
}

/** Rows of a table by id; also selects rows of activations. */
export function embedding(table: LinearWeight, ids: Tensor): Tensor {
  return ids.device.record(embeddingOp, [table.weight, ids, table.scale], {})[0]!
}

/** Rows of x [N, D] in the order given by `rows` i32 [R]. */
export function selectRows(x: Tensor, rows: Tensor): Tensor {
  return embedding({ weight: x }, rows)
}
