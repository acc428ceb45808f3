import { kvCache, type Device, type KvCache, type KvDtype, type Tensor } from '@slipway/tensor'
import type { LanguageModel } from '../model.ts'

const blockSize = 8

/** One sequence over its own caches: the least that is needed to run a model in a test. */
export class TestSession {
  readonly #model: LanguageModel
  readonly #device: Device
  readonly #caches: readonly KvCache[]
  readonly #numBlocks: number
  /** Where the sequence's adapter lies, -1 without. */
  readonly #place: number
  #length = 0

  constructor(device: Device, model: LanguageModel, maxTokens: number, kvDtype: KvDtype = 'f32', place = -1) {
    this.#place = place
    this.#model = model
    this.#device = device
    this.#numBlocks = Math.ceil(maxTokens / blockSize)
    const { numLayers, numKvHeads, headDim } = model.config
    const shape = { numBlocks: this.#numBlocks, blockSize, numKvHeads, headDim }
    this.#caches = Array.from({ length: numLayers }, () => kvCache(device, shape, kvDtype))
  }

  /** Runs the next tokens in one step; logits [ids.length, vocabSize] of all of them, or of the last alone. */
  async run(ids: readonly number[], rows: 'all' | 'last' = 'all'): Promise<Float32Array> {
    const ints = (values: readonly number[], shape = [values.length]): Tensor =>
      this.#device.tensor(values, shape, 'i32')
    const positions = ids.map((_, i) => this.#length + i)
    // blocks in reverse order: where they lie must not matter
    const blocks = Array.from({ length: this.#numBlocks }, (_, i) => this.#numBlocks - 1 - i)
    const places = (count: number): Tensor | undefined =>
      this.#place < 0 ? undefined : ints(Array.from({ length: count }, () => this.#place))
    const wanted = rows === 'all' ? ids.map((_, i) => i) : [ids.length - 1]
    const logits = this.#model.forward(
      {
        ids: ints(ids),
        positions: ints(positions),
        sequences: ints(ids.map(() => 0)),
        slots: ints(positions.map((p) => blocks[Math.floor(p / blockSize)]! * blockSize + (p % blockSize))),
        blockTables: ints(blocks, [1, blocks.length]),
        adapters: places(ids.length),
        logits: {
          rows: ints(wanted),
          positions: ints(wanted.map((i) => positions[i]!)),
          sequences: ints(wanted.map(() => 0)),
          adapters: places(wanted.length),
        },
      },
      this.#caches,
    )!
    await this.#device.run([logits])
    this.#length += ids.length
    return (await this.#device.read(logits)) as Float32Array
  }

  /** Greedy continuation of a prompt, token by token. */
  async greedy(prompt: readonly number[], count: number): Promise<number[]> {
    let logits = await this.run(prompt, 'last')
    const ids: number[] = []
    for (;;) {
      ids.push(logits.reduce((best, x, i) => (x > logits[best]! ? i : best), 0))
      if (ids.length === count) return ids
      logits = await this.run([ids.at(-1)!], 'last')
    }
  }
}
