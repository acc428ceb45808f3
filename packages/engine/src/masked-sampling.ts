import { bytesOfArray, maskLogits, sample, type Device, type Program, type Tensor } from '@slipway/tensor'
import type { SamplingLayout } from './step-layout.ts'

/** The inputs of the op sample for `n` rows. */
export function samplingInputs(device: Device, n: number): Readonly<Record<keyof SamplingLayout, Tensor>> {
  return {
    params: device.zeros([n, 5], 'f32'),
    seeds: device.zeros([n, 2], 'u32'),
    places: device.zeros([n], 'u32'),
  }
}

/** Draws from logits [n, V] that stay in one place, of what masks leave of them: recorded once. */
export class MaskedSampling {
  readonly #device: Device
  readonly #inputs: ReturnType<typeof samplingInputs>
  readonly #mask: Tensor
  readonly #program: Program
  readonly #tokens: Tensor
  /** Allows every token. */
  readonly #free: Uint8Array

  constructor(device: Device, logits: Tensor) {
    const [n, vocabSize] = logits.shape as [number, number]
    const width = Math.ceil(vocabSize / 32)
    this.#device = device
    this.#inputs = samplingInputs(device, n)
    this.#mask = device.zeros([n, width], 'u32')
    this.#free = new Uint8Array(4 * width).fill(0xff)
    const rows = Array.from({ length: n }, (_, i) => i)
    maskLogits(logits, device.tensor(rows, [n], 'i32'), this.#mask)
    const { params, seeds, places } = this.#inputs
    this.#tokens = sample(logits, params, seeds, places)
    this.#program = device.capture([this.#tokens])
  }

  /** The next token of every row; without a mask, all of its tokens may come. */
  async sample(masks: readonly (Uint32Array | undefined)[], sampling: SamplingLayout): Promise<Int32Array> {
    for (const [i, mask] of masks.entries())
      this.#device.writeSlice(this.#mask, i, mask ? bytesOfArray(mask) : this.#free)
    for (const name of ['params', 'seeds', 'places'] as const) this.#device.write(this.#inputs[name], sampling[name])
    await this.#device.replay(this.#program)
    return (await this.#device.read(this.#tokens)) as Int32Array
  }
}
