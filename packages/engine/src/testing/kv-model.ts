import type { BlockOwner } from '../block-pool.ts'
import type { Sampled } from '../runner.ts'
import { resolveParams, type SamplingParams } from '../sampling-params.ts'
import { resolveScheduling, type SchedulingOptions } from '../scheduling-options.ts'
import type { EngineRequest } from '../sequence.ts'
import type { Chunk } from '../step-plan.ts'

/** A request without a model: bounds as large as they get. */
export function requestOf(
  requestId: string,
  prompt: number | readonly number[],
  params: SamplingParams,
  scheduling: SchedulingOptions = {},
): EngineRequest {
  const resolved = resolveParams({ seed: 1, maxTokens: 16, ...params }, { vocabSize: 1000, maxModelLen: 1 << 20 })
  return {
    requestId,
    promptTokenIds: typeof prompt === 'number' ? Array.from({ length: prompt }, () => 1) : prompt,
    params: { ...resolved, seed: resolved.seed!, maxTokens: resolved.maxTokens! },
    scheduling: resolveScheduling(scheduling),
  }
}

const mix = (state: number, value: number): number => Math.imul(state ^ (value + 1), 0x9e3779b1) ^ (state >>> 13)

/** What stands for the key and value of the last token: it depends on all tokens up to it, as the real ones do. */
export function valueOf(tokens: readonly number[]): number {
  return tokens.reduce(mix, 17)
}

/** The token that "the model" gives after a text. Few different ones, so that texts meet again. */
export function nextToken(value: number, seed: number): number {
  return (mix(value, seed) >>> 8) % 3
}

/**
 * A runner whose keys and values are plain numbers, so that it can tell at once when a sequence reads a slot that does
 * not hold its own text, or writes where another one reads.
 */
export class ModelRunner {
  readonly #values: Int32Array
  readonly #blockSize: number
  readonly #owners: () => Iterable<BlockOwner>
  /** Called while the device computes. */
  onRun: (() => void) | undefined
  numRows = 0

  constructor(numBlocks: number, blockSize: number, owners: () => Iterable<BlockOwner>) {
    this.#values = new Int32Array(numBlocks * blockSize)
    this.#blockSize = blockSize
    this.#owners = owners
  }

  /** Blocks as bytes, for the tiers. */
  get memory() {
    const sliceOf = (block: number): Int32Array =>
      this.#values.subarray(block * this.#blockSize, (block + 1) * this.#blockSize)
    return {
      bytesPerBlock: 4 * this.#blockSize,
      read: (block: number) => Promise.resolve(new Uint8Array(sliceOf(block).slice().buffer)),
      write: (block: number, bytes: Uint8Array) => sliceOf(block).set(new Int32Array(bytes.slice().buffer)),
    }
  }

  async run(chunks: readonly Chunk[]): Promise<Sampled[]> {
    const numOwners = new Map<number, number>()
    for (const { blocks } of this.#owners())
      for (const block of blocks) numOwners.set(block, (numOwners.get(block) ?? 0) + 1)
    const planned = chunks.map(({ sequence, numTokens }) => {
      const { tokens, numComputed } = sequence
      return {
        sequence,
        end: numComputed + numTokens,
        blocks: [...sequence.blocks],
        isDue: tokens.length === numComputed + numTokens,
      }
    })
    for (const { sequence, numTokens } of chunks) {
      const { tokens, numComputed } = sequence
      this.numRows += numTokens
      let value = valueOf(tokens.slice(0, numComputed))
      for (let p = numComputed; p < numComputed + numTokens; p++) {
        value = mix(value, tokens[p]!)
        const block = sequence.blocks[Math.floor(p / this.#blockSize)]!
        if (numOwners.get(block) !== 1)
          throw new Error(`block ${block} is written, but has ${numOwners.get(block)} owners`)
        this.#values[this.#slot(sequence.blocks, p)] = value
      }
    }
    this.onRun?.()
    return planned.flatMap(({ sequence, end, blocks, isDue }) => {
      let value = 17
      for (let p = 0; p < end; p++) {
        value = mix(value, sequence.tokens[p]!)
        if (this.#values[this.#slot(blocks, p)] !== value)
          throw new Error(`position ${p} of ${sequence.request.requestId} holds another text`)
      }
      const token = nextToken(value, sequence.request.params.seed + sequence.index)
      return isDue ? [{ sequence, token, logprobs: undefined }] : []
    })
  }

  #slot(blocks: readonly number[], position: number): number {
    return blocks[Math.floor(position / this.#blockSize)]! * this.#blockSize + (position % this.#blockSize)
  }
}

/** The tokens of a completion by definition: one after the other, from the whole text. */
export function expectedTokens({ promptTokenIds, params }: EngineRequest, index: number): number[] {
  const tokens = [...promptTokenIds]
  for (let i = 0; i < params.maxTokens; i++) tokens.push(nextToken(valueOf(tokens), params.seed + index))
  return tokens.slice(promptTokenIds.length)
}
