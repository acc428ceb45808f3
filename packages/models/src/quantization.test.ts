import { fileURLToPath } from 'node:url'
import { openCheckpoint, Tokenizer } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { f16ToF32, quantizeGroups, referenceDevice, type KvDtype } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { loadModel } from './load.ts'
import { TestSession } from './testing/session.ts'
import type { Quantization } from './weights.ts'

const texts = [
  '<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n<|im_start|>assistant\n',
  '<|im_start|>user\nHello! Who are you?<|im_end|>\n<|im_start|>assistant\n',
  'one two three four five six seven',
]

interface Settings {
  readonly quantization?: Quantization
  readonly headQuantization?: Quantization
  readonly kvDtype?: KvDtype
  readonly activations?: 'bf16'
}

/** The next-token distributions after every token of the texts. */
async function distributions(
  directory: string,
  ids: readonly number[][],
  { kvDtype = 'f32', ...settings }: Settings = {},
): Promise<Float64Array[]> {
  const device = referenceDevice()
  const checkpoint = await openCheckpoint(directory)
  const model = await loadModel(checkpoint, device, {
    dtype: settings.activations ?? 'f32',
    quantization: undefined,
    ...settings,
  })
  checkpoint.close()
  const { vocabSize } = model.config
  const rows: Float64Array[] = []
  for (const text of ids) {
    const logits = await new TestSession(device, model, text.length, kvDtype).run(text)
    for (let r = 0; r < text.length; r++) rows.push(softmax(logits.subarray(r * vocabSize, (r + 1) * vocabSize)))
  }
  return rows
}

function softmax(logits: Float32Array): Float64Array {
  const max = logits.reduce((a, b) => Math.max(a, b), -Infinity)
  const weights = Float64Array.from(logits, (x) => Math.exp(x - max))
  const total = weights.reduce((a, b) => a + b, 0)
  return weights.map((w) => w / total)
}

/** Mean of KL(exact || rounded) in nats. */
function meanDivergence(exact: readonly Float64Array[], rounded: readonly Float64Array[]): number {
  const sums = exact.map((p, i) => p.reduce((sum, x, j) => sum + (x > 0 ? x * Math.log(x / rounded[i]![j]!) : 0), 0))
  return sums.reduce((a, b) => a + b, 0) / sums.length
}

describe('what quantising costs: KL divergence of the next token from float weights and caches', () => {
  const fixture = (name: string): string => fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url))
  const drawn = async (): Promise<number[][]> => [Array.from({ length: 40 }, (_, i) => (i * 37) % 150)]
  // a mixture also loses where rounding changes the choice of experts
  const bounds: [Settings, number, number, number][] = [
    [{ quantization: 'wint8' }, 0.005, 0.01, 0.03],
    [{ quantization: 'wint4' }, 0.1, 1, 3],
    [{ headQuantization: 'wint8' }, 0.001, 0.01, 0.01],
    [{ quantization: 'wint4', headQuantization: 'wint4' }, 0.2, 2, 4],
    [{ activations: 'bf16' }, 0.001, 0.01, 0.05],
    [{ kvDtype: 'bf16' }, 0.001, 0.01, 0.05],
    [{ kvDtype: 'i8' }, 0.001, 0.005, 0.05],
  ]
  // random weights have no slack at all: every rounding shows
  const models: [string, string, () => Promise<number[][]>, number][] = [
    ['the embedded model', miniModelDirectory, mini, 1],
    ['a random model', fixture('llama3'), drawn, 2],
    ['a random mixture of experts', fixture('qwen3-moe'), drawn, 3],
  ]
  async function mini(): Promise<number[][]> {
    const tokenizer = await Tokenizer.load(miniModelDirectory)
    return texts.map((text) => tokenizer.encode(text))
  }
  test.each(models)('%s', async (name, directory, prompts, column) => {
    const ids = await prompts()
    const exact = await distributions(directory, ids)
    for (const row of bounds) {
      const divergence = meanDivergence(exact, await distributions(directory, ids, row[0]))
      const bound = row[column] as number
      console.log(`${JSON.stringify(row[0])}, ${name}: ${divergence.toFixed(5)} nats per token, bound ${bound}`)
      expect(divergence).toBeGreaterThan(0)
      expect(divergence).toBeLessThan(bound)
    }
  })
})

describe('rounding in groups', () => {
  const bytesOf = (values: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer)
  const read = (bytes: Uint8Array, k: number, bits: 4 | 8): number => {
    const byte = bits === 8 ? bytes[k]! : bytes[4 * Math.floor(k / 8) + (k % 4)]!
    return bits === 8 ? byte : k % 8 < 4 ? byte % 16 : byte >> 4
  }

  test.each([4, 8] as const)('%i bits: every value is within half a step, the extreme exact', (bits) => {
    const values = Array.from({ length: 48 }, (_, i) => Math.sin(i * 1.7) * (1 + Math.floor(i / 16)))
    const { words, scales } = quantizeGroups(bytesOf(values), 'f32', 1, 48, bits, 16)
    const steps = new Uint16Array(scales.buffer)
    expect(steps.length).toBe(3)
    for (const [k, value] of values.entries()) {
      const scale = f16ToF32(steps[Math.floor(k / 16)]!)
      const back = (read(words, k, bits) - 2 ** (bits - 1)) * scale
      // the far end of the shorter side may be cut by one step
      expect(Math.abs(back - value)).toBeLessThanOrEqual(Math.abs(scale) * 1.01)
    }
  })

  test('zeros stay zeros', () => {
    const { words, scales } = quantizeGroups(bytesOf(Array.from({ length: 8 }, () => 0)), 'f32', 1, 8, 4, 8)
    expect([...words]).toEqual([0x88, 0x88, 0x88, 0x88])
    expect([...scales]).toEqual([0, 0x80])
  })
})
