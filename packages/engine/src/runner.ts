import type { LanguageModel, ModelBatch } from '@slipway/models'
import {
  adjustLogits,
  kvCache,
  kvWrite,
  logprobs,
  sample,
  selectRows,
  SlipwayError,
  type Device,
  type KvCache,
  type KvDtype,
  type LogitAdjustments,
  type Tensor,
} from '@slipway/tensor'
import { DecodeSteps } from './decode-steps.ts'
import { KvMemory } from './kv-memory.ts'
import { applyProcessors } from './logits-processor.ts'
import { changesOf, isAtMostMasked, maskOf, type LogitChanges } from './logit-changes.ts'
import { RowMasks } from './masked-sampling.ts'
import { Pooler, type Pooled } from './pooling/pooler.ts'
import type { Chunk } from './step-plan.ts'
import type { Sequence } from './sequence.ts'
import { layOut, samplingOf, slotOf, type StepLayout } from './step-layout.ts'

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

type AwaitMasks = (sequences: readonly Sequence[]) => void

/** Lays out a step for the model, runs it and samples. Owns the KV caches. */
export class Runner {
  readonly #device: Device
  #model: LanguageModel
  readonly #blockSize: number
  readonly #caches: readonly KvCache[]
  #decodeSteps: DecodeSteps
  #pooler: Pooler
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

  /** Goes on with other weights of the same architecture; keys and values of the old ones mean nothing to them. */
  useModel(model: LanguageModel): void {
    this.#model = model
    this.#decodeSteps = new DecodeSteps(this.#device, model, this.#caches)
    this.#pooler = new Pooler(this.#device, model, this.#blockSize, this.#caches)
  }

  /** Gives the memory of keys and values back to the system, until blocks are written again; what they held is gone. */
  release(): void {
    this.memory.release()
    this.#device.trim()
  }

  /**
   * Computes the chunks; returns one token, or its pooled states, for each sequence whose last token was among them.
   * Masks may be made while the model runs: `awaitMasks` is asked for those that are missing afterwards, and a sequence
   * that then still has none, or whose text is complete, gets no token.
   */
  async run(chunks: readonly Chunk[], awaitMasks?: AwaitMasks): Promise<StepResult[]> {
    const [pooled, sampled] = [true, false].map((pools) =>
      chunks.filter(({ sequence }) => (sequence.request.pooling !== undefined) === pools),
    )
    const { lateRows } = this.#model
    if (lateRows?.isPending) lateRows.need(chunks.flatMap(idsOf))
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
    await this.#writeGiven(chunks)
    const complete = chunks.filter(({ sequence, numTokens }) => sequence.numPending === numTokens)
    const layout = layOut(chunks, this.#blockSize)
    const { isDecode } = layout
    const due = complete.map(({ sequence }) => sequence)
    // where all that masks leave is known beforehand, the draw is part of the step
    const known = isDecode ? this.#onlyMasks(due) : undefined
    if (known) return tokensOf(due, await this.#decodeSteps.sample(layout, samplingOf(due), known))
    const decoded = isDecode ? await this.#decodeSteps.logits(layout) : undefined
    let logits = decoded ? decoded.logits : this.#model.forward(this.#batchOf(layout), this.#caches)
    if (logits && layout.promptRows.length > 0) logits = await this.#takePromptRows(logits, layout)
    if (!logits) {
      await this.#device.run([])
      return []
    }
    if (!due.every(({ canSample }) => canSample)) {
      if (!isDecode) await this.#device.run([logits])
      awaitMasks?.(due)
    }
    const masks = decoded && this.#onlyMasks(due)
    if (masks) return tokensOf(due, await decoded.sample(masks, samplingOf(due)))
    const changes = due.map((sequence) => this.#changesOf(sequence))
    const rows = changes.flatMap((change, i) => (change ? [i] : []))
    if (rows.length === 0) {
      await this.#device.run([])
      return []
    }
    const drawn = changes.filter((change) => change !== undefined)
    if (rows.length < due.length) logits = selectRows(logits, this.#ints(rows))
    return this.#draw(
      logits,
      rows.map((i) => due[i]!),
      drawn,
    )
  }

  /** Masks of all rows, where they are all that stands between logits and draw, and every sequence gets a token. */
  #onlyMasks(sequences: readonly Sequence[]): (Uint32Array | undefined)[] | undefined {
    if (!sequences.every((sequence) => sequence.canSample && isAtMostMasked(sequence))) return undefined
    const masks = sequences.map((sequence) => this.#orFault(sequence, maskOf(sequence, this.#vocabSize)))
    return sequences.some(({ fault }) => fault) ? undefined : masks
  }

  /** Undefined for a sequence that gets no token. */
  #changesOf(sequence: Sequence): LogitChanges | undefined {
    return sequence.canSample ? this.#orFault(sequence, changesOf(sequence, this.#vocabSize)) : undefined
  }

  /** An error becomes the fault of its sequence. */
  #orFault<T>(sequence: Sequence, given: T | SlipwayError): T | undefined {
    if (!SlipwayError.is(given)) return given as T
    sequence.fault = given
    return undefined
  }

  get #vocabSize(): number {
    return this.#model.config.vocabSize
  }

  /** Draws a token from each row of logits, changed as its sequence asks. */
  async #draw(logits: Tensor, sequences: readonly Sequence[], changes: readonly LogitChanges[]): Promise<Sampled[]> {
    const withLogprobs = sequences.flatMap(({ numLogprobs }, i) => (numLogprobs === undefined ? [] : [i]))
    // a copy: logprobs are the model's own, and the adjustments are made in place
    const raw = withLogprobs.length > 0 ? selectRows(logits, this.#ints(withLogprobs)) : undefined
    if (sequences.some(({ processors }) => processors.length > 0)) {
      await this.#device.run(raw ? [logits, raw] : [logits])
      await this.#process(logits, sequences, changes)
    }
    const adjustments = this.#adjustments(sequences, changes)
    if (adjustments) adjustLogits(logits, adjustments)
    const sampled = this.#sample(logits, sequences, changes)
    await this.#device.run(raw ? [sampled, raw] : [sampled])
    const drawn = await this.#device.read(sampled)
    const tokens = sequences.map((sequence, i) => sequence.choose(drawn[i]!))
    const wanted = withLogprobs.map((i) => ({ token: tokens[i]!, count: sequences[i]!.numLogprobs! }))
    const listed = raw ? await this.#logprobs(raw, wanted) : []
    const byRow = new Map(withLogprobs.map((row, i) => [row, listed[i]!]))
    const results = sequences.map((sequence, i) => ({ sequence, token: tokens[i]!, logprobs: byRow.get(i) }))
    return results.filter(({ sequence }) => !sequence.fault)
  }

  /** Lets plugins change the rows of their sequences; one that fails is the fault of its sequence. */
  async #process(logits: Tensor, sequences: readonly Sequence[], changes: readonly LogitChanges[]): Promise<void> {
    const values = (await this.#device.read(logits)) as Float32Array
    const { vocabSize } = this.#model.config
    for (const [i, sequence] of sequences.entries()) {
      if (sequence.processors.length === 0) continue
      const row = values.subarray(i * vocabSize, (i + 1) * vocabSize)
      sequence.fault = applyProcessors(sequence.processors, row, sequence.tokens.slice(sequence.numGiven), changes[i]!)
    }
    this.#device.write(logits, values)
  }

  /** Lists the log-probabilities of prompts, whose rows come first; returns the others. */
  async #takePromptRows(logits: Tensor, { promptRows, logitRows }: StepLayout): Promise<Tensor | undefined> {
    const count = promptRows.length
    const range = (start: number, length: number): Tensor => this.#ints(Array.from({ length }, (_, i) => start + i))
    const others = logitRows.length > 0 ? selectRows(logits, range(count, logitRows.length)) : undefined
    const wanted = promptRows.map(({ target, sequence }) => ({ token: target, count: sequence.numPromptLogprobs! }))
    const listed = await this.#logprobs(selectRows(logits, range(0, count)), wanted, others ? [others] : [])
    for (const [i, { sequence }] of promptRows.entries()) sequence.promptLogprobs.push(listed[i]!)
    return others
  }

  /** Writes what prefixes give into the blocks of sequences that have just got them. */
  async #writeGiven(chunks: readonly Chunk[]): Promise<void> {
    const due = chunks.filter(({ sequence }) => sequence.givenFrom !== undefined)
    for (const { sequence } of due) {
      const { layers, numTokens, width } = sequence.adapter!.prefix!
      const from = sequence.givenFrom!
      const slots = this.#ints(
        Array.from({ length: numTokens - from }, (_, i) => slotOf(sequence, from + i, this.#blockSize)),
      )
      const rows = (values: Float32Array): Tensor =>
        this.#device.tensor(values.subarray(from * width), [numTokens - from, width], 'f32')
      for (const [i, { keys, values }] of layers.entries()) kvWrite(this.#caches[i]!, rows(keys), rows(values), slots)
    }
    if (due.length > 0) await this.#device.run([])
    for (const { sequence } of due) sequence.givenFrom = undefined
  }

  #batchOf(layout: StepLayout): ModelBatch {
    const { ids, positions, sequences, slots, blockTables, width, adapters, ropePositions } = layout
    const logitRows = [...layout.promptRows.map(({ row }) => row), ...layout.logitRows]
    return {
      ropePositions: ropePositions && this.#ints(ropePositions),
      ids: this.#ints(ids),
      positions: this.#ints(positions),
      sequences: this.#ints(sequences),
      slots: this.#ints(slots),
      blockTables: this.#device.tensor(blockTables, [blockTables.length / width, width], 'i32'),
      adapters: adapters && this.#ints(adapters),
      logits:
        logitRows.length === 0
          ? undefined
          : {
              rows: this.#ints(logitRows),
              positions: this.#ints(logitRows.map((r) => positions[r]!)),
              sequences: this.#ints(logitRows.map((r) => sequences[r]!)),
              adapters: adapters && this.#ints(logitRows.map((r) => adapters[r]!)),
            },
    }
  }

  #ints(values: readonly number[]): Tensor {
    return this.#device.tensor(values, [values.length], 'i32')
  }

  /** Penalties and biases of all rows as one sparse list; undefined when no row has any. */
  #adjustments(sequences: readonly Sequence[], changes: readonly LogitChanges[]): LogitAdjustments | undefined {
    const entries: { token: number; count: number; inPrompt: number; bias: number }[] = []
    const rowStarts = [0]
    for (const { tokens } of changes) {
      for (const [token, { count, inPrompt, bias }] of tokens) entries.push({ token, count, inPrompt, bias })
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

  /** Draws from what masks leave. */
  #sample(logits: Tensor, sequences: readonly Sequence[], changes: readonly LogitChanges[]): Tensor {
    const n = sequences.length
    const { params, seeds, places } = samplingOf(sequences)
    const masks = changes.some(({ mask }) => mask) ? new RowMasks(this.#device, logits) : undefined
    masks?.write(changes.map(({ mask }) => mask))
    return sample(
      logits,
      this.#device.tensor(params, [n, 5], 'f32'),
      this.#device.tensor(seeds, [n, 2], 'u32'),
      this.#device.tensor(places, [n], 'u32'),
      masks?.bits,
    )
  }

  /** One entry per row of logits: of a token and of the `count` best ones. `alsoRun` is computed along with them. */
  async #logprobs(
    logits: Tensor,
    wanted: readonly { readonly token: number; readonly count: number }[],
    alsoRun: readonly Tensor[] = [],
  ): Promise<RawLogprobs[]> {
    const k = Math.min(Math.max(...wanted.map(({ count }) => count)), this.#model.config.vocabSize)
    const listed = logprobs(logits, this.#ints(wanted.map(({ token }) => token)), k)
    await this.#device.run([listed.values, listed.ids, listed.ranks, ...alsoRun])
    const [values, ids, ranks] = await Promise.all(
      [listed.values, listed.ids, listed.ranks].map((tensor) => this.#device.read(tensor)),
    )
    return wanted.map(({ count }, i) => {
      const start = i * (k + 1)
      const top = Array.from({ length: Math.min(count, k) }, (_, j) => ({
        tokenId: ids![start + 1 + j]!,
        logprob: values![start + 1 + j]!,
      }))
      return { logprob: values![start]!, rank: ranks![i]!, top }
    })
  }
}

function idsOf({ sequence: { tokens, numComputed }, numTokens }: Chunk): readonly number[] {
  return tokens.slice(numComputed, numComputed + numTokens)
}

function tokensOf(sequences: readonly Sequence[], drawn: ArrayLike<number>): Sampled[] {
  return sequences.map((sequence, i) => ({ sequence, token: sequence.choose(drawn[i]!), logprobs: undefined }))
}
