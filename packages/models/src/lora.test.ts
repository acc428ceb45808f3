import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openCheckpoint, openLoraAdapter } from '@slipway/checkpoint'
import { miniModelDirectory } from '@slipway/mini'
import { cpuAvailable, cpuDevice, referenceDevice, type Device } from '@slipway/tensor'
import { afterAll, describe, expect, test } from 'vitest'
import { loadModel } from './load.ts'
import type { LanguageModel } from './model.ts'
import { TestSession } from './testing/session.ts'

// Answers of checkpoints into which the PEFT library has merged the adapters (tools/goldens/adapters.py).

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
const adapters = fileURLToPath(new URL('../fixtures-adapters/', import.meta.url))
/** Half as much again as between two libraries: merged weights are rounded once more. */
const tolerance = 2e-4

interface Golden {
  readonly model: string
  readonly adapters: readonly {
    readonly name: string
    readonly rank: number
    readonly prompts: readonly { readonly ids: number[]; readonly greedy: number[]; readonly logits: string }[]
  }[]
}

const goldens = readdirSync(adapters).map(
  (name) => JSON.parse(readFileSync(`${adapters}${name}/golden.json`, 'utf8')) as Golden,
)

async function loadFixture(name: string, device: Device, maxLoras: number): Promise<LanguageModel> {
  const checkpoint = await openCheckpoint(name === 'mini' ? miniModelDirectory : fixtures + name)
  const lora = { maxLoras, maxLoraRank: 16 }
  const model = await loadModel(checkpoint, device, { dtype: 'f32', quantization: undefined, lora })
  checkpoint.close()
  return model
}

async function put(model: LanguageModel, folder: string, place: number): Promise<void> {
  const adapter = await openLoraAdapter(adapters + folder)
  model.adapters!.check(adapter)
  await model.adapters!.write(place, adapter)
  adapter.close()
}

const devices: [string, boolean, () => Device][] = [
  ['reference', true, referenceDevice],
  ['cpu', cpuAvailable().available, () => cpuDevice({ threads: 2 })],
]

describe.each(devices)('adapters on %s', (_, available, open) => {
  const device = available ? open() : referenceDevice()
  afterAll(() => device.close())

  test.skipIf(!available).each(goldens)(
    '$model: each answers as its merged checkpoint',
    async ({ model: name, ...golden }) => {
      const model = await loadFixture(name, device, golden.adapters.length)
      for (const [place, adapter] of golden.adapters.entries()) await put(model, `${name}/${adapter.name}`, place)
      for (const [place, { prompts }] of golden.adapters.entries())
        for (const { ids, greedy, logits } of prompts) {
          const session = new TestSession(device, model, ids.length, 'f32', place)
          const expected = new Float32Array(Uint8Array.from(Buffer.from(logits, 'base64')).buffer)
          const got = await session.run(ids, 'last')
          const worst = got.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0)
          expect(worst).toBeLessThan(tolerance)
          const whole = new TestSession(device, model, ids.length + greedy.length, 'f32', place)
          expect(await whole.greedy(ids, greedy.length)).toEqual(greedy)
        }
    },
  )

  test.skipIf(!available)('a place that is written again or cleared keeps nothing of what it held', async () => {
    const model = await loadFixture('qwen3', device, 2)
    const ids = [3, 1, 4, 1, 5, 92, 65]
    const logits = (place: number): Promise<Float32Array> =>
      new TestSession(device, model, ids.length, 'f32', place).run(ids)
    const plain = await logits(-1)
    await put(model, 'qwen3/lora-1', 0)
    await put(model, 'qwen3/lora-7', 1)
    const seventh = await logits(1)
    expect(seventh).not.toEqual(plain)
    expect(await logits(-1), 'a row without an adapter does not know those of others').toEqual(plain)
    await put(model, 'qwen3/lora-7', 0)
    expect(await logits(0)).toEqual(seventh)
    model.adapters!.clear(0)
    expect(await logits(0)).toEqual(plain)
    expect(await logits(1)).toEqual(seventh)
  })
})

test('an adapter of another model, of too high a rank, or of experts is refused by name', async () => {
  const model = await loadFixture('qwen3-moe', referenceDevice(), 1)
  await expect(put(model, 'qwen3/lora-0', 0)).rejects.toThrow(
    "layers.0.self_attn.q_proj as [64, 48], the model's is [32, 32]",
  )
  await expect(put(model, 'qwen3/lora-1', 0)).rejects.toThrow('adapts model.layers.0.mlp')
  const adapter = await openLoraAdapter(`${adapters}qwen3-moe/lora-17`)
  expect(() => model.adapters!.check({ ...adapter, rank: 17 })).toThrow('rank 17, above maxLoraRank 16')
  const [first] = adapter.modules
  const renamed = (name: string) => ({ ...adapter, modules: [{ ...first!, name }] })
  expect(() => model.adapters!.check(renamed('model.layers.0.mlp.experts.0.up_proj'))).toThrow('experts and routers')
  expect(() => model.adapters!.check(renamed('lm_head'))).toThrow('the vocabulary takes no adapters')
  adapter.close()
})
