import type { LanguageModel, ModelBatch } from '@slipway/models'
import {
  adjustLogits,
  kvCache,
  logprobs,
  maskLogits,
  sample,
  selectRows,
  type Device,
  type KvCache,
  type KvDtype,
  type LogitAdjustments,
  type Tensor,
} from '@slipway/tensor'
import { DecodeSteps } from './decode-steps.ts'
import { KvMemory } from './kv-memory.ts'
import { Pooler, type Pooled } from './pooling/pooler.ts'
import type { Chunk } from './step-plan.ts'
import type { Sequence } from './sequence.ts'
import { layOut, samplingOf, type StepLayout } from './step-layout.ts'

/** Log-probabilities as numbers; the texts are added in front. */
export interface RawLogprobs {
  readonly logprob: number
  readonly rank: number
  readonly top: readonly { readonly tokenId: number; readonly logprob: number }[]
}

export interface Sampled {
  readonly sequence: Sequence
  readonly token: number
  readonly logprobs: RawLogprobs | undefined
}

export type StepResult = Sampled | Pooled

type AwaitMasks = (sequences: readonly Sequence[]) => Promise<void>

/** Lays out a step for the model, runs it and samples. Owns the KV caches. */
export class Runner {
  readonly #device: Device
  readonly #model: LanguageModel
  readonly #blockSize: number
  readonly #caches: readonly KvCache[]
  readonly #decodeSteps: DecodeSteps
  readonly #pooler: Pooler
  /** The caches, to be copied block by block. */
  readonly memory: KvMemory

  constructor(device: Device, model: LanguageModel, numBlocks: number, blockSize: number, kvDtype: KvDtype) {
    this.#device = device
    this.#model = model
    this.#blockSize = blockSize
    const { numLayers, numKvHeads, headDim } = model.config
    const shape = { numBlocks, blockSize, numKvHeads, headDim }
    const shared = model.attention === 'bidirectional' ? kvCache(device, shape, kvDtype) : undefined
    this.#caches = Array.from({ length: numLayers }, () => shared ?? kvCache(device, shape, kvDtype))
    this.memory = new KvMemory(this.#caches)
    this.#decodeSteps = new DecodeSteps(device, model, this.#caches)
    this.#pooler = new Pooler(device, model, blockSize, this.#caches)
  }

  /**
   * Computes the chunks; returns one token, or its pooled states, for each sequence whose last token was among them. Masks may be made while
   * the model runs: `awaitMasks` is asked for those that are missing afterwards, and a sequence that then still has
   * none, or whose text is complete, gets no token.
   */
  async run(chunks: readonly Chunk[], awaitMasks?: AwaitMasks): Promise<StepResult[]> {
    const [pooled, sampled] = [true, false].map((pools) =>
      chunks.filter(({ sequence }) => (sequence.request.pooling !== undefined) === pools),
    )
    try {
      return [
        ...(pooled!.length > 0 ? await this.#pooler.run(pooled!) : []),
        ...(sampled!.length > 0 ? await this.#run(sampled!, awaitMasks) : []),
      ]
    } catch (error) {
      this.#device.discard()
      throw error
    }
  }

  async #run(chunks: readonly Chunk[], awaitMasks?: AwaitMasks): Promise<Sampled[]> {
    const complete = chunks.filter(({ sequence, numTokens }) => sequence.numPending === numTokens)
    const layout = layOut(chunks, this.#blockSize)
    if (layout.ids.length === complete.length && complete.every(({ sequence }) => isPlain(sequence))) {
      const decoded = complete.map(({ sequence }) => sequence)
      const tokens = await this.#decodeSteps.run(layout, samplingOf(decoded))
      return decoded.map((sequence, i) => ({ sequence, token: tokens[i]!, logprobs: undefined }))
    }
    let logits = this.#model.forward(this.#batchOf(layout), this.#caches)
    if (!logits) {
      await this.#device.run([])
      return []
    }
    let sequences = complete.map((chunk) => chunk.sequence)
    if (!sequences.every(({ canSample }) => canSample)) {
      await this.#device.run([logits])
      await awaitMasks?.(sequences)
      const rows = sequences.flatMap(({ canSample }, i) => (canSample ? [i] : []))
      if (rows.length === 0) return []
      if (rows.length < sequences.length) logits = selectRows(logits, this.#ints(rows))
      sequences = rows.map((i) => sequences[i]!)
    }
    const withLogprobs = sequences.flatMap((s, i) => (s.request.params.logprobs == null ? [] : [i]))
    // a copy: logprobs are the model's own, and the adjustments are made in place
    const raw = withLogprobs.length > 0 ? selectRows(logits, this.#ints(withLogprobs)) : undefined
    const adjustments = this.#adjustments(sequences)
    if (adjustments) adjustLogits(logits, adjustments)
    this.#mask(logits, sequences)
    const sampled = this.#sample(logits, sequences)
    await this.#device.run(raw ? [sampled, raw] : [sampled])
    const tokens = await this.#device.read(sampled)
    const listed = raw ? await this.#logprobs(raw, withLogprobs, sequences, tokens as Int32Array) : undefined
    return sequences.map((sequence, i) => ({ sequence, token: tokens[i]!, logprobs: listed?.get(i) }))
  }

  #batchOf({ ids, positions, sequences, slots, blockTables, width, logitRows }: StepLayout): ModelBatch {
    return {
      ids: this.#ints(ids),
      positions: this.#ints(positions),
      sequences: this.#ints(sequences),
      slots: this.#ints(slots),
      blockTables: this.#device.tensor(blockTables, [blockTables.length / width, width], 'i32'),
      logits:
        logitRows.length === 0
          ? undefined
          : {
              rows: this.#ints(logitRows),
              positions: this.#ints(logitRows.map((r) => positions[r]!)),
              sequences: this.#ints(logitRows.map((r) => sequences[r]!)),
            },
    }
  }

  #ints(values: readonly number[]): Tensor {
    return this.#device.tensor(values, [values.length], 'i32')
  }

  /** Penalties and biases of all rows as one sparse list; undefined when no row has any. */
  #adjustments(sequences: readonly Sequence[]): LogitAdjustments | undefined {
    const entries: { token: number; count: number; inPrompt: number; bias: number }[] = []
    const rowStarts = [0]
    for (const sequence of sequences) {
      const changes = changesOf(sequence)
      for (const [token, { count, inPrompt, bias }] of changes) entries.push({ token, count, inPrompt, bias })
      rowStarts.push(entries.length)
    }
    if (entries.length === 0) return undefined
    const penalties = sequences.flatMap(({ request: { params } }) => [
      params.repetitionPenalty,
      params.frequencyPenalty,
      params.presencePenalty,
    ])
    return {
      rowStarts: this.#ints(rowStarts),
      tokens: this.#ints(entries.map((e) => e.token)),
      counts: this.#ints(entries.map((e) => e.count)),
      inPrompt: this.#ints(entries.map((e) => e.inPrompt)),
      bias: this.#device.tensor(
        entries.map((e) => e.bias),
        [entries.length],
        'f32',
      ),
      penalties: this.#device.tensor(penalties, [sequences.length, 3], 'f32'),
    }
  }

  /** Bans what the grammars of the sequences do not allow; other rows stay as they are. */
  #mask(logits: Tensor, sequences: readonly Sequence[]): void {
    const masks = sequences.map((sequence) => maskOf(sequence))
    const rows = masks.flatMap((mask, i) => (mask ? [i] : []))
    if (rows.length === 0) return
    const width = masks[rows[0]!]!.length
    const words = new Uint32Array(rows.length * width)
    for (const [i, row] of rows.entries()) words.set(masks[row]!, i * width)
    maskLogits(logits, this.#ints(rows), this.#device.tensor(words, [rows.length, width], 'u32'))
  }

  #sample(logits: Tensor, sequences: readonly Sequence[]): Tensor {
    const { params, seeds, places } = samplingOf(sequences)
    return sample(
      logits,
      this.#device.tensor(params, [sequences.length, 4], 'f32'),
      this.#device.tensor(seeds, [sequences.length, 2], 'u32'),
      this.#device.tensor(places, [sequences.length], 'u32'),
    )
  }

  async #logprobs(
    raw: Tensor,
    rows: readonly number[],
    sequences: readonly Sequence[],
    tokens: Int32Array,
  ): Promise<Map<number, RawLogprobs>> {
    const wanted = rows.map((i) => sequences[i]!.request.params.logprobs!)
    const k = Math.min(Math.max(...wanted), this.#model.config.vocabSize)
    const listed = logprobs(raw, this.#ints(rows.map((i) => tokens[i]!)), k)
    await this.#device.run([listed.values, listed.ids, listed.ranks])
    const [values, ids, ranks] = await Promise.all(
      [listed.values, listed.ids, listed.ranks].map((tensor) => this.#device.read(tensor)),
    )
    return new Map(
      rows.map((row, i) => {
        const start = i * (k + 1)
        const top = Array.from({ length: Math.min(wanted[i]!, k) }, (_, j) => ({
          tokenId: ids![start + 1 + j]!,
          logprob: values![start + 1 + j]!,
        }))
        return [row, { logprob: values![start]!, rank: ranks![i]!, top }]
      }),
    )
  }
}

/** Whether the next token is drawn from the model's own logits, and nothing is told of them. */
function isPlain(sequence: Sequence): boolean {
  const { params } = sequence.request
  if (
    !sequence.canSample ||
    maskOf(sequence) ||
    params.logprobs != null ||
    hasPenalties(params) ||
    sequence.numGenerated < params.minTokens
  )
    return false
  return Object.keys(params.logitBias).length === 0
}

function hasPenalties(params: Sequence['request']['params']): boolean {
  return params.repetitionPenalty !== 1 || params.frequencyPenalty !== 0 || params.presencePenalty !== 0
}

/** What a request asks to change in its next logits, by token. */
function changesOf(sequence: Sequence): Map<number, { count: number; inPrompt: number; bias: number }> {
  const { params } = sequence.request
  const changes = new Map<number, { count: number; inPrompt: number; bias: number }>()
  if (hasPenalties(params))
    for (const [token, { count, inPrompt }] of sequence.uses)
      changes.set(token, { count, inPrompt: inPrompt ? 1 : 0, bias: 0 })
  const addBias = (token: number, bias: number): void => {
    const change = changes.get(token)
    if (change) change.bias += bias
    else changes.set(token, { count: 0, inPrompt: 0, bias })
  }
  for (const [token, bias] of Object.entries(params.logitBias)) addBias(Number(token), bias)
  if (sequence.numGenerated < params.minTokens && !mustStop(sequence))
    for (const token of sequence.stopIds) addBias(token, -Infinity)
  return changes
}

function maskOf({ matcher }: Sequence): Uint32Array | undefined {
  return matcher?.next?.state === 'masked' ? matcher.next.mask : undefined
}

/** True when its grammar leaves a sequence nothing but tokens that end it: then a ban would leave none at all. */
function mustStop(sequence: Sequence): boolean {
  const mask = maskOf(sequence)
  return mask !== undefined && countBits(mask) === countBits(mask, sequence.stopIds)
}

/** How many bits are set, of all or of those of `ids`. */
function countBits(mask: Uint32Array, ids?: ReadonlySet<number>): number {
  let count = 0
  if (ids) for (const id of ids) count += (mask[id >>> 5]! >>> (id & 31)) & 1
  else for (let word of mask) for (; word !== 0; word &= word - 1) count++
  return count
}
