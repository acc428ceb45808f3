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

/** Batch sizes and table widths in use at one time; each costs its commands and a few small tensors. */
const maxCaptured = 8

/**
 * Steps in which every sequence decodes one token. Two of one shape differ in numbers only, so each shape is recorded and
 * planned once: to its end where nothing but masks that are known comes between the model's logits and the draw, or up to
 * the logits, and from there on where masks are yet to come.
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
    const key = `${layout.ids.length} x ${layout.width} ${used}${layout.ropePositions ? ' shifted' : ''}${draw ? ' drawn' : ''}`
    const step = this.#captured.get(key) ?? this.#capture(layout, draw !== undefined)
    this.#captured.delete(key)
    this.#captured.set(key, step)
    if (this.#captured.size > maxCaptured) this.#captured.delete(this.#captured.keys().next().value!)
    const { ids, positions, slots, blockTables, adapters, ropePositions } = layout
    const rare = { ...(adapters && { adapters }), ...(ropePositions && { ropePositions }) }
    const given = { ids, positions, slots, blockTables, ...rare, ...draw?.sampling }
    for (const [name, values] of Object.entries(given))
      this.#device.write(step.inputs[name]!, values as ArrayLike<number>)
    if (draw) step.masks!.write(draw.masks)
    await this.#device.replay(step.program)
    return step
  }

  #capture({ ids, width, adapters, ropePositions }: StepLayout, isDrawn: boolean): Captured {
    const n = ids.length
    const ints = (): Tensor => this.#device.zeros([n], 'i32')
    const inputs = {
      ids: ints(),
      positions: ints(),
      slots: ints(),
      blockTables: this.#device.zeros([n, width], 'i32'),
      adapters: adapters && ints(),
      ropePositions: ropePositions && ints(),
    }
    const rows = this.#device.tensor(
      ids.map((_, i) => i),
      [n],
      'i32',
    )
    const logits = this.#model.forward(
      {
        ...inputs,
        sequences: rows,
        logits: { rows, positions: inputs.positions, sequences: rows, adapters: inputs.adapters },
      },
      this.#caches,
    )!
    if (!isDrawn) return { program: this.#device.capture([logits]), inputs, output: logits }
    const masks = new RowMasks(this.#device, logits)
    const sampling = samplingInputs(this.#device, n)
    const output = sample(logits, sampling.params, sampling.seeds, sampling.places, masks.bits)
    return { program: this.#device.capture([output]), inputs: { ...inputs, ...sampling }, output, masks }
  }
}
