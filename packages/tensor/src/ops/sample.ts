import { expectInput, expectShape, type HostTensor, type Op, type OpCase } from '../op.ts'
import { sizeOf, type Tensor } from '../tensor.ts'
import { expNegative, uniform } from './exact-math.ts'
import { argmaxOf } from './logprobs.ts'
import { CaseRandom, given, quantised } from './random.ts'

/**
 * Changes logits [R, V] in place where a request asks for it. Row r owns entries rowStarts[r] .. rowStarts[r+1] - 1, each
 * naming one token once: how often it was generated, whether it stands in the prompt (0/1), and a bias. Per entry, in
 * this order, which is vLLM's: bias (-Infinity bans), repetition penalty over prompt and output (Keskar et al. 2019),
 * frequency and presence penalties over the output (OpenAI). `penalties` [R, 3] = repetition, frequency, presence.
 */
export const adjustLogitsOp: Op = {
  name: 'adjustLogits',
  inputs: ['logits', 'rowStarts', 'tokens', 'counts', 'inPrompt', 'bias', 'penalties'],
  attributes: [],
  rowInputs: [],
  updates: [0],
  tolerance: { absolute: 0, relative: 0 },
  infer([logits, rowStarts, tokens, counts, inPrompt, bias, penalties]) {
    const l = expectInput('adjustLogits', logits, 'logits', 2, 'f32')
    const starts = expectInput('adjustLogits', rowStarts, 'rowStarts', 1, 'i32')
    const t = expectInput('adjustLogits', tokens, 'tokens', 1, 'i32')
    for (const entry of [counts, inPrompt])
      expectShape(
        'adjustLogits',
        entry?.dtype === 'i32' && sizeOf(entry) === sizeOf(t),
        () => 'entry lists differ in length',
      )
    expectShape('adjustLogits', bias?.dtype === 'f32' && sizeOf(bias) === sizeOf(t), () => 'bias differs in length')
    const p = expectInput('adjustLogits', penalties, 'penalties', 2, 'f32')
    expectShape(
      'adjustLogits',
      starts.shape[0] === l.shape[0]! + 1 && p.shape[0] === l.shape[0],
      () => `logits [${l.shape}]`,
    )
    return []
  },
  reference([logits, rowStarts, tokens, counts, inPrompt, bias, penalties]) {
    for (let r = 0; r < logits!.rows; r++)
      for (let e = rowStarts!.item(r); e < rowStarts!.item(r + 1); e++) {
        const token = tokens!.item(e)
        const count = counts!.item(e)
        let logit = logits!.at(r, token) + bias!.item(e)
        if (count > 0 || inPrompt!.item(e) !== 0)
          logit = logit > 0 ? logit / penalties!.at(r, 0) : logit * penalties!.at(r, 0)
        logit -= count * penalties!.at(r, 1) + (count > 0 ? penalties!.at(r, 2) : 0)
        logits!.set(r, token, logit)
      }
  },
  cost([, , tokens]) {
    return { flops: 5 * sizeOf(tokens!), bytes: 24 * sizeOf(tokens!) }
  },
  cases() {
    const random = new CaseRandom(10)
    return [
      {
        label: 'three rows, one without entries',
        inputs: [
          random.normal([3, 31], 'f32', 4),
          given([0, 3, 3, 5], [4], 'i32'),
          given([2, 30, 7, 0, 9], [5], 'i32'),
          given([0, 2, 1, 0, 5], [5], 'i32'),
          given([1, 0, 1, 0, 1], [5], 'i32'),
          given([0, 0.5, -1, -Infinity, 100], [5], 'f32'),
          given([1.3, 0.7, 0.2, 1, 0, 0, 0.8, -0.5, 1], [3, 3], 'f32'),
        ],
        attributes: {},
      },
    ]
  },
}

/**
 * Draws one token per row of logits [R, V]. `params` [R, 5] = temperature, topK, topP, minP, typicalP; temperature 0
 * takes the highest logit (the lowest id of equals). Otherwise, with p = softmax(logits / temperature): tokens with
 * p < minP * max(p) go, then all but the topK best (0 keeps all), then all outside the smallest best set whose share
 * reaches topP, then all outside the smallest set whose share reaches typicalP of those whose surprise -log p is nearest
 * to the entropy of what is left (Meister et al. 2022; 1 keeps all); at least one stays. The draw is a pure function of `seeds` [R, 2] and `positions` [R] (Philox), and all
 * arithmetic is exact across devices (exact-math.ts): equal logits give equal tokens everywhere.
 *
 * With `mask` u32 [R, ceil(V / 32)], only tokens whose bit is set may come: bit v % 32 of word v / 32 for token v. The
 * logits of all others become -Infinity, in place.
 */
export const sampleOp: Op = {
  name: 'sample',
  inputs: ['logits', 'params', 'seeds', 'positions', 'mask?'],
  attributes: [],
  rowInputs: [0, 1, 2, 3, 4],
  updates: [0],
  tolerance: { absolute: 0, relative: 0 },
  infer([logits, params, seeds, positions, mask]) {
    const l = expectInput('sample', logits, 'logits', 2, 'f32')
    const p = expectInput('sample', params, 'params', 2, 'f32')
    const s = expectInput('sample', seeds, 'seeds', 2, 'u32')
    const at = expectInput('sample', positions, 'positions', 1, 'u32')
    const rows = l.shape[0]!
    expectShape('sample', p.shape[1] === 5 && s.shape[1] === 2, () => `params [${p.shape}], seeds [${s.shape}]`)
    expectShape('sample', [p, s, at].every((x) => x.shape[0] === rows) && l.shape[1]! > 0, () => `logits [${l.shape}]`)
    if (mask) {
      const [maskRows, words] = expectInput('sample', mask, 'mask', 2, 'u32').shape
      const fits = maskRows === rows && words === Math.ceil(l.shape[1]! / 32)
      expectShape('sample', fits, () => `mask [${mask.shape}] of logits [${l.shape}]`)
    }
    return [{ shape: [rows], dtype: 'i32' }]
  },
  reference([logits, params, seeds, positions, mask], [out]) {
    for (let r = 0; r < logits!.rows; r++) {
      if (mask)
        for (let v = 0; v < logits!.cols; v++)
          if (((mask.at(r, v >>> 5) >>> (v & 31)) & 1) === 0) logits!.set(r, v, -Infinity)
      const row = logits!.row(r)
      const temperature = params!.at(r, 0)
      const draw = uniform([seeds!.at(r, 0), seeds!.at(r, 1)], positions!.item(r))
      const token =
        temperature === 0
          ? argmaxOf(row)
          : drawFrom(
              limited(row, temperature, [params!.at(r, 1), params!.at(r, 2), params!.at(r, 3), params!.at(r, 4)]),
              draw,
            )
      out!.set(0, r, token)
    }
  },
  cost([logits, , , , mask]) {
    return { flops: 40 * sizeOf(logits!), bytes: 4 * (sizeOf(logits!) + (mask ? sizeOf(mask) : 0)) }
  },
  cases() {
    const random = new CaseRandom(11)
    const cases: OpCase[] = []
    for (const vocabulary of [1, 7, 200, 4099])
      for (const params of [
        [0, 0, 1, 0, 1],
        [1, 0, 1, 0, 1],
        [0.7, 5, 1, 0, 1],
        [0.7, 0, 0.9, 0, 1],
        [1.5, 0, 1, 0.1, 1],
        [0.9, 40, 0.95, 0.02, 1],
        [1, 0, 0, 0, 1],
        [3, 100000, 0.5, 0, 1],
        [1, 0, 1, 0, 0.3],
        [2, 0, 1, 0.05, 0.9],
        [0.8, 30, 0.95, 0, 0.6],
        [1, 0, 0.9, 0, 0],
        // exponents down to where weights are zero
        [0.01, 0, 1, 0, 0.99],
        [5, 0, 1, 0, 0.9999],
      ]) {
        const rows = 9
        cases.push({
          label: `vocabulary ${vocabulary}, temperature ${params[0]}, topK ${params[1]}, topP ${params[2]}, minP ${params[3]}, typicalP ${params[4]}`,
          inputs: [
            // rounded logits make ties frequent
            { ...random.normal([rows, vocabulary]), data: quantised(random, rows * vocabulary) },
            given(Array.from({ length: rows }, () => params).flat(), [rows, 5], 'f32'),
            random.integers([rows, 2], 2 ** 32, 'u32'),
            random.integers([rows], 5000, 'u32'),
            undefined,
          ],
          attributes: {},
        })
      }
    for (const vocabulary of [1, 31, 64, 4099])
      for (const params of [
        [0, 0, 1, 0, 1],
        [1, 0, 1, 0, 1],
        [0.9, 40, 0.95, 0.02, 0.9],
      ])
        cases.push({
          label: `masked, vocabulary ${vocabulary}, temperature ${params[0]}, topK ${params[1]}`,
          inputs: [
            { ...random.normal([5, vocabulary]), data: quantised(random, 5 * vocabulary) },
            given(Array.from({ length: 5 }, () => params).flat(), [5, 5], 'f32'),
            random.integers([5, 2], 2 ** 32, 'u32'),
            random.integers([5], 5000, 'u32'),
            someWhole(random.integers([5, Math.ceil(vocabulary / 32)], 2 ** 32, 'u32')),
          ],
          attributes: {},
        })
    for (const typicalP of [1, 0.7]) {
      const logits = quantised(random, 4 * 700)
      // a masked row, one with a value that is no number, and one without any token
      for (const [i] of logits.entries()) if (i >= 2100 || (i < 700 && i % 3 > 0)) logits[i] = -Infinity
      logits[1000] = NaN
      cases.push({
        label: `banned tokens, typicalP ${typicalP}`,
        inputs: [
          { ...random.normal([4, 700]), data: logits },
          given(Array.from({ length: 4 }, () => [1, 0, 1, 0, typicalP]).flat(), [4, 5], 'f32'),
          random.integers([4, 2], 2 ** 32, 'u32'),
          random.integers([4], 5000, 'u32'),
          undefined,
        ],
        attributes: {},
      })
    }
    return cases
  },
}

/** Words that ban everything or nothing, as most of a grammar's do, in runs of several blocks too. */
function someWhole(words: HostTensor): HostTensor {
  const runs = [0, 1, 2].flatMap((i) => Array.from({ length: 2 + 20 * (i % 2) }, () => i))
  return { ...words, data: Uint32Array.from(words.data, (word, i) => [word, 0, 0xffffffff][runs[i % runs.length]!]!) }
}

/** A token that may be drawn; its probability is its share of all weights. */
export interface Candidate {
  readonly id: number
  readonly weight: number
}

/** Ids of a block are added up before they join a sum. */
const blockIds = 256

/**
 * A sum of weights in the order in which they come; neighbours of one block are added up first, so that a device can
 * share out a vocabulary among its threads and still get these bits.
 */
class BlockSum {
  #before = 0
  #part = 0
  #block = -1

  add({ id, weight }: Candidate): number {
    const block = Math.floor(id / blockIds)
    if (block !== this.#block) {
      this.#before += this.#part
      this.#part = 0
      this.#block = block
    }
    this.#part += weight
    return this.#before + this.#part
  }
}

function totalOf(candidates: readonly Candidate[]): number {
  const sum = new BlockSum()
  return candidates.reduce((_, candidate) => sum.add(candidate), 0)
}

/** What is left of a row after minP, topK and topP, in the order in which the draw walks it. */
function candidatesOf(
  logits: Float64Array,
  temperature: number,
  topK: number,
  topP: number,
  minP: number,
): Candidate[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const weight = (id: number): number => expNegative((logits[id]! - max) / temperature)
  let kept: Candidate[] = Array.from(logits.keys(), (id) => ({ id, weight: weight(id) }))
  kept = kept.filter((t) => t.weight >= minP)
  // only when no logit is a number
  if (kept.length === 0) return [{ id: argmaxOf(logits), weight: 1 }]
  const cut = topK > 0 && topK < kept.length
  if (!cut && topP >= 1) return kept
  // by weight: equal weights of unequal logits (underflow) keep the order of ids
  const better = (a: Candidate, b: Candidate): number => b.weight - a.weight || a.id - b.id
  if (cut) kept = kept.sort(better).slice(0, topK)
  if (topP >= 1) return kept
  // a total in the order of ids unless topK has sorted: so no device must sort a whole vocabulary for it
  const target = topP * totalOf(kept)
  kept.sort(better)
  const share = new BlockSum()
  const end = kept.findIndex((t) => share.add(t) >= target)
  return end >= 0 ? kept.slice(0, end + 1) : kept
}

/** topK, topP, minP, typicalP. */
type Limits = readonly [number, number, number, number]

/** What is left of a row after all limits, in the order in which the draw walks it. */
export function limited(logits: Float64Array, temperature: number, [topK, topP, minP, typicalP]: Limits): Candidate[] {
  const candidates = candidatesOf(logits, temperature, topK, topP, minP)
  return typicalP < 1 ? typicalOf(candidates, logits, temperature, typicalP) : candidates
}

/**
 * The candidates whose surprise is nearest to the entropy, nearest first, until their share reaches `typicalP`. With
 * x = (logit - max) / temperature, surprise is log(total) - x and entropy is log(total) - mean(x): what is between them
 * needs no logarithm.
 */
function typicalOf(
  candidates: readonly Candidate[],
  logits: Float64Array,
  temperature: number,
  typicalP: number,
): Candidate[] {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const exponent = (id: number): number => (logits[id]! - max) / temperature
  const possible = candidates.filter(({ weight }) => weight > 0)
  // only when no logit is a number
  if (possible.length === 0) return [...candidates]
  const total = totalOf(possible)
  const mean = totalOf(possible.map(({ id, weight }) => ({ id, weight: weight * exponent(id) }))) / total
  const kept = possible.map(({ id, weight }) => ({ id, weight, distance: Math.abs(exponent(id) - mean) }))
  kept.sort((a, b) => a.distance - b.distance || a.id - b.id)
  const target = typicalP * total
  const share = new BlockSum()
  const end = kept.findIndex((t) => share.add(t) >= target)
  return end >= 0 ? kept.slice(0, end + 1) : kept
}

/** The draw of `sampleOp`; `draw` is uniform in [0, 1). */
export function drawFrom(candidates: readonly Candidate[], draw: number): number {
  const total = totalOf(candidates)
  const share = new BlockSum()
  return (candidates.find((t) => share.add(t) > draw * total) ?? candidates.at(-1)!).id
}

/** The sparse changes of `adjustLogits`, row after row. */
export interface LogitAdjustments {
  readonly rowStarts: Tensor
  readonly tokens: Tensor
  readonly counts: Tensor
  readonly inPrompt: Tensor
  readonly bias: Tensor
  readonly penalties: Tensor
}

export function adjustLogits(logits: Tensor, changes: LogitAdjustments): void {
  const { rowStarts, tokens, counts, inPrompt, bias, penalties } = changes
  logits.device.record(adjustLogitsOp, [logits, rowStarts, tokens, counts, inPrompt, bias, penalties], {})
}

export function sample(logits: Tensor, params: Tensor, seeds: Tensor, positions: Tensor, mask?: Tensor): Tensor {
  return logits.device.record(sampleOp, [logits, params, seeds, positions, mask], {})[0]!
}
