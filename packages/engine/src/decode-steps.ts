import type { LanguageModel } from '@slipway/models'
import { sample, type Device, type KvCache, type Program, type Tensor } from '@slipway/tensor'
import { MaskedSampling, RowMasks, samplingInputs } from './masked-sampling.ts'
import type { SamplingLayout, StepLayout } from './step-layout.ts'

/** A captured step with the tensors that its numbers are written to. */
interface Captured {
  readonly program: Program
  readonly inputs: Readonly<Record<string, Tensor | undefined>>
  /** Sampled tokens [n], or logits [n, V]. */
  readonly output: Tensor
  /** Of a step that draws. */
  readonly masks?: RowMasks
  /** What follows logits when nothing but masks comes before the draw; made when first needed. */
  masked?: MaskedSampling
}

/** Logits [n, V] of a step in which every sequence decodes. */
export interface DecodedLogits {
  readonly logits: Tensor
  /** Draws the next token of every row from those that its mask leaves, which the logits then show. */
  readonly sample: MaskedSampling['sample']
}

/** What a step that draws needs beside its layout; a row without a mask may get any token. */
interface Draw {
  readonly sampling: SamplingLayout
  readonly masks: readonly (Uint32Array | undefined)[]
}

/** Numbers of rows and table widths in use at one time; each costs its commands and a few small tensors. */
const maxCaptured = 16

/**
 * Steps in which every sequence decodes one token, with those before it that could be no others. Two of one shape differ
 * in numbers only, so each shape is recorded and planned once: to its end where nothing but masks that are known comes
 * between the model's logits and the draw, or up to the logits, and from there on where masks are yet to come.
 */
export class DecodeSteps {
  readonly #device: Device
  readonly #model: LanguageModel
  readonly #caches: readonly KvCache[]
  /** By shape, the least recently used first. */
  readonly #captured = new Map<string, Captured>()

  constructor(device: Device, model: LanguageModel, caches: readonly KvCache[]) {
    this.#device = device
    this.#model = model
    this.#caches = caches
  }

  /** The next token of every row, of what its mask leaves. */
  async sample(
    layout: StepLayout,
    sampling: SamplingLayout,
    masks: readonly (Uint32Array | undefined)[],
  ): Promise<ArrayLike<number>> {
    return (await this.#device.read((await this.#run(layout, { sampling, masks })).output)) as Int32Array
  }

  /** The logits of every row. They stay until the next step of that shape, and may be changed in place. */
  async logits(layout: StepLayout): Promise<DecodedLogits> {
    const step = await this.#run(layout)
    return {
      logits: step.output,
      sample: (masks, sampling) =>
        (step.masked ??= new MaskedSampling(this.#device, step.output)).sample(masks, sampling),
    }
  }

  async #run(layout: StepLayout, draw?: Draw): Promise<Captured> {
    // a step records those products that some adapter on the device touches
    const used = layout.adapters ? (this.#model.adapters?.usedProducts ?? '') : ''
    const key = `${layout.ids.length} of ${layout.logitRows.length} x ${layout.width} ${used}${layout.ropePositions ? ' shifted' : ''}${draw ? ' drawn' : ''}`
    const step = this.#captured.get(key) ?? this.#capture(layout, draw !== undefined)
    this.#captured.delete(key)
    this.#captured.set(key, step)
    if (this.#captured.size > maxCaptured) this.#captured.delete(this.#captured.keys().next().value!)
    const { ids, positions, slots, blockTables, adapters, ropePositions } = layout
    const given = { ids, positions, slots, blockTables, adapters, ropePositions, ...draw?.sampling, ...tailsOf(layout) }
    for (const [name, values] of Object.entries(given)) if (values) this.#device.write(step.inputs[name]!, values)
    if (draw) step.masks!.write(draw.masks)
    await this.#device.replay(step.program)
    return step
  }

  #capture(layout: StepLayout, isDrawn: boolean): Captured {
    const [n, m] = [layout.ids.length, layout.logitRows.length]
    const ints = (length: number): Tensor => this.#device.zeros([length], 'i32')
    const inputs = {
      ids: ints(n),
      positions: ints(n),
      slots: ints(n),
      blockTables: this.#device.zeros([m, layout.width], 'i32'),
      adapters: layout.adapters && ints(n),
      ropePositions: layout.ropePositions && ints(n),
    }
    const each = this.#device.tensor(
      Array.from({ length: m }, (_, i) => i),
      [m],
      'i32',
    )
    const tails = n > m && {
      sequences: ints(n),
      lastRows: ints(m),
      lastPositions: ints(m),
      lastAdapters: layout.adapters && ints(m),
    }
    const { sequences, lastRows, lastPositions, lastAdapters } = tails || {
      sequences: each,
      lastRows: each,
      lastPositions: inputs.positions,
      lastAdapters: inputs.adapters,
    }
    const logits = this.#model.forward(
      {
        ...inputs,
        sequences,
        logits: { rows: lastRows, positions: lastPositions, sequences: each, adapters: lastAdapters },
      },
      this.#caches,
    )!
    const written = { ...inputs, ...tails }
    if (!isDrawn) return { program: this.#device.capture([logits]), inputs: written, output: logits }
    const masks = new RowMasks(this.#device, logits)
    const sampling = samplingInputs(this.#device, m)
    const output = sample(logits, sampling.params, sampling.seeds, sampling.places, masks.bits)
    return { program: this.#device.capture([output]), inputs: { ...written, ...sampling }, output, masks }
  }
}

/** Inputs of a step in which some sequence has several rows; `last` are those of the rows that logits are wanted of. */
function tailsOf({
  ids,
  positions,
  sequences,
  logitRows,
  adapters,
}: StepLayout): Record<string, readonly number[] | undefined> {
  if (ids.length === logitRows.length) return {}
  return {
    sequences,
    lastRows: logitRows,
    lastPositions: logitRows.map((row) => positions[row]!),
    lastAdapters: adapters && logitRows.map((row) => adapters[row]!),
  }
}
