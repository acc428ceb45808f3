import { bytesOfArray, sample, type Device, type Program, type Tensor } from '@slipway/tensor'
import type { SamplingLayout } from './step-layout.ts'

/** The inputs of the op sample for `n` rows. */
export function samplingInputs(device: Device, n: number): Readonly<Record<keyof SamplingLayout, Tensor>> {
  return {
    params: device.zeros([n, 5], 'f32'),
    seeds: device.zeros([n, 2], 'u32'),
    places: device.zeros([n], 'u32'),
  }
}

/** The input `mask` of the op sample: what may be drawn from each row. */
export class RowMasks {
  readonly #device: Device
  /** u32 [n, ceil(V / 32)]. */
  readonly bits: Tensor
  /** What each row of the bits was written from; nobody changes a mask. */
  readonly #written: (Uint32Array | undefined)[] = []
  /** Allows every token. */
  readonly #free: Uint32Array

  constructor(device: Device, logits: Tensor) {
    const [n, vocabSize] = logits.shape as [number, number]
    const width = Math.ceil(vocabSize / 32)
    this.#device = device
    this.bits = device.zeros([n, width], 'u32')
    this.#free = new Uint32Array(width).fill(0xffffffff)
  }

  /** One for each row; without a mask, all of its tokens may come. */
  write(masks: readonly (Uint32Array | undefined)[]): void {
    for (const [i, mask = this.#free] of masks.entries()) {
      if (this.#written[i] === mask) continue
      this.#device.writeSlice(this.bits, i, bytesOfArray(mask))
      this.#written[i] = mask
    }
  }
}

/** Draws from logits [n, V] that stay in one place, of what masks leave of them: recorded once. */
export class MaskedSampling {
  readonly #device: Device
  readonly #inputs: ReturnType<typeof samplingInputs>
  readonly #masks: RowMasks
  readonly #program: Program
  readonly #tokens: Tensor

  constructor(device: Device, logits: Tensor) {
    this.#device = device
    this.#inputs = samplingInputs(device, logits.shape[0]!)
    this.#masks = new RowMasks(device, logits)
    const { params, seeds, places } = this.#inputs
    this.#tokens = sample(logits, params, seeds, places, this.#masks.bits)
    this.#program = device.capture([this.#tokens])
  }

  /** The next token of every row. */
  async sample(masks: readonly (Uint32Array | undefined)[], sampling: SamplingLayout): Promise<Int32Array> {
    this.#masks.write(masks)
    for (const name of ['params', 'seeds', 'places'] as const) this.#device.write(this.#inputs[name], sampling[name])
    await this.#device.replay(this.#program)
    return (await this.#device.read(this.#tokens)) as Int32Array
  }
}
