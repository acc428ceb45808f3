import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { openCheckpoint } from '@slipway/checkpoint'
import { cpuAvailable, cpuDevice, referenceDevice, type Device } from '@slipway/tensor'
import { afterAll, describe, expect, test } from 'vitest'
import { loadModel } from './load.ts'
import type { LanguageModel } from './model.ts'
import { TestSession } from './testing/session.ts'

// Logits and greedy ids made by the transformers library (tools/goldens), for every architecture and rope variant.

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url))
/** Logits of both libraries are float32 sums of up to a hundred terms in different orders. */
const tolerance = 1e-4

interface Golden {
  readonly model: string
  readonly prompts: readonly {
    readonly ids: readonly number[]
    readonly greedy: readonly number[]
    readonly logits: {
      readonly positions: 'all' | 'last'
      readonly shape: readonly [number, number]
      readonly data: string
    }
  }[]
}

const folders = readdirSync(fixtures, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map((entry) => entry.name)

function readGolden(name: string): Golden {
  // the sharded copy has the weights, and so the answers, of the other
  const folder = name.replace(/-sharded$/, '')
  return JSON.parse(readFileSync(`${fixtures}${folder}/golden.json`, 'utf8')) as Golden
}

function expectedLogits(data: string): Float32Array {
  const bytes = Uint8Array.from(Buffer.from(data, 'base64'))
  return new Float32Array(bytes.buffer)
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length)
  return a.reduce((max, x, i) => Math.max(max, Math.abs(x - b[i]!)), 0)
}

async function loadFixture(name: string, device: Device): Promise<LanguageModel> {
  const checkpoint = await openCheckpoint(fixtures + name)
  const { dtype } = checkpoint.config
  const model = await loadModel(checkpoint, device, {
    dtype: dtype === 'bf16' || dtype === 'f16' ? dtype : 'f32',
    quantization: undefined,
  })
  checkpoint.close()
  return model
}

/** How a prompt is fed: whole, in chunks of odd sizes, token by token. */
const feedings = { whole: Infinity, 'in chunks of 5': 5, 'token by token': 1 }

const devices: [string, boolean, () => Device][] = [
  ['reference', true, referenceDevice],
  ['cpu', cpuAvailable().available, () => cpuDevice({ threads: 2 })],
]

for (const [deviceName, available, open] of devices)
  describe.skipIf(!available)(`on ${deviceName}`, () => {
    const device = available ? open() : referenceDevice()
    afterAll(() => device.close())

    describe.each(folders)('%s', (name) => {
      const golden = readGolden(name)

      test.each(Object.entries(feedings))('logits, fed %s', async (_, chunk) => {
        const model = await loadFixture(name, device)
        const vocabulary = model.config.vocabSize
        let whole: Float32Array | undefined
        for (const { ids, logits } of golden.prompts) {
          const session = new TestSession(device, model, ids.length)
          const parts: number[] = []
          for (let i = 0; i < ids.length; i += chunk) parts.push(...(await session.run(ids.slice(i, i + chunk))))
          const got = Float32Array.from(logits.positions === 'all' ? parts : parts.slice(-vocabulary))
          expect(largestDifference(got, expectedLogits(logits.data))).toBeLessThan(tolerance)
          whole = got
        }
        expect(whole).toBeDefined()
      })

      test('greedy ids', async () => {
        const model = await loadFixture(name, device)
        for (const { ids, greedy } of golden.prompts) {
          expect(greedy.length).toBeGreaterThanOrEqual(64)
          const session = new TestSession(device, model, ids.length + greedy.length)
          expect(await session.greedy(ids, greedy.length)).toEqual(greedy)
        }
      })
    })
  })
