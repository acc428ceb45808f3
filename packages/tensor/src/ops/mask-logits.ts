import { expectInput, expectShape, type HostTensor, type Op } from '../op.ts'
import { sizeOf, type Tensor } from '../tensor.ts'
import { CaseRandom, given } from './random.ts'

/**
 * Bans tokens in place: row rows[i] of logits [R, V] keeps the tokens whose bit is set in row i of `mask` u32
 * [M, ceil(V / 32)], bit v % 32 of word v / 32 for token v; all others become -Infinity. `rows` i32 [M] names each row
 * at most once, and rows that it does not name stay as they are.
 */
export const maskLogitsOp: Op = {
  name: 'maskLogits',
  inputs: ['logits', 'rows', 'mask'],
  attributes: [],
  rowInputs: [],
  updates: [0],
  tolerance: { absolute: 0, relative: 0 },
  infer([logits, rows, mask]) {
    const l = expectInput('maskLogits', logits, 'logits', 2, 'f32')
    const r = expectInput('maskLogits', rows, 'rows', 1, 'i32')
    const m = expectInput('maskLogits', mask, 'mask', 2, 'u32')
    expectShape(
      'maskLogits',
      m.shape[0] === r.shape[0] && m.shape[1] === Math.ceil(l.shape[1]! / 32),
      () => `mask [${m.shape}] for rows [${r.shape}] of logits [${l.shape}]`,
    )
    return []
  },
  reference([logits, rows, mask]) {
    const vocabSize = logits!.cols
    for (let i = 0; i < mask!.rows; i++)
      for (let v = 0; v < vocabSize; v++)
        if (((mask!.at(i, v >>> 5) >>> (v & 31)) & 1) === 0) logits!.set(rows!.item(i), v, -Infinity)
  },
  cost([logits, , mask]) {
    return { flops: 0, bytes: 4 * logits!.shape[1]! * mask!.shape[0]! + 4 * sizeOf(mask!) }
  },
  cases() {
    const random = new CaseRandom(14)
    return [
      [1, [0], 1],
      [31, [1], 3],
      [64, [2, 0], 4],
      [4099, [4, 1, 3], 5],
    ].map(([vocabulary, rows, numRows]) => {
      const [v, list] = [vocabulary as number, rows as number[]]
      return {
        label: `rows ${list.join(', ')} of ${numRows as number}, vocabulary ${v}`,
        inputs: [
          random.normal([numRows as number, v], 'f32', 4),
          given(list, [list.length], 'i32'),
          someWhole(random.integers([list.length, Math.ceil(v / 32)], 2 ** 32, 'u32')),
        ],
        attributes: {},
      }
    })
  },
}

/** Words that ban everything or nothing, as most of a grammar's do. */
function someWhole(words: HostTensor): HostTensor {
  return { ...words, data: Uint32Array.from(words.data, (word, i) => [word, 0, 0xffffffff][(i >> 1) % 3]!) }
}

export function maskLogits(logits: Tensor, rows: Tensor, mask: Tensor): void {
  logits.device.record(maskLogitsOp, [logits, rows, mask], {})
}
