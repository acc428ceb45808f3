import { SlipwayError, type Program } from '@slipway/tensor'
import { describe, expect, test } from 'vitest'
import { placeModel } from './load-engine.ts'
import { resolveEngineOptions } from './options.ts'
import { profileModel } from './profile-model.ts'
import { openStep, type StepShape } from './open-step.ts'
import { addRequest, drain, openEngine, tinyModel } from './testing/harness.ts'

async function openTiny(shape: StepShape) {
  const options = resolveEngineOptions({})
  const { device, model, kvDtype } = await placeModel(tinyModel, options, () => {})
  const run = openStep(device, model, shape, { blockSize: options.blockSize, kvDtype })
  const programs: Program[] = []
  device.observer = { timesSteps: false, onRun: ({ program }) => programs.push(program) }
  return { device, model, run, programs }
}

describe('a step by itself', () => {
  test('is the one that the engine runs: it samples the same tokens', async () => {
    const { device, model, run } = await openTiny({ sequences: 3, rows: 11, context: 0 })
    const tokens = (await run()).map(({ token }) => token)
    expect((await run()).map(({ token }) => token)).toEqual(tokens)
    device.close()
    const other = await openEngine()
    for (const s of [0, 1, 2]) {
      const ids = Array.from({ length: 11 }, (_, i) => ((s * 11 + i + 1) * 7919) % model.config.vocabSize)
      addRequest(other.engine, `r${s}`, ids, { temperature: 0, maxTokens: 1, ignoreEos: true })
    }
    const answers = await drain(other.engine)
    other.device.close()
    expect(tokens).toEqual([0, 1, 2].map((s) => answers.get(`r${s}/0`)!.tokenIds[0]))
  })

  test('takes its positions after the context', async () => {
    const { device, run, programs } = await openTiny({ sequences: 2, rows: 1, context: 70 })
    await run()
    const positions = programs[0]!.steps.find(({ op }) => op.name === 'attention')!.inputs[7]!
    expect([...(await device.read(positions))]).toEqual([70, 70])
    device.close()
  })
})

describe('a profile', () => {
  test.each([
    { sequences: 1, rows: 1, context: 20 },
    { sequences: 2, rows: 9, context: 0 },
  ])('names every op of the step, and its parts add up: %o', async (shape) => {
    const profile = await profileModel(tinyModel, shape, { rounds: 1 })
    const { device, run, programs } = await openTiny(shape)
    await run()
    device.close()
    const { steps, barriers } = programs[0]!
    const calls: Record<string, number> = {}
    for (const { op } of steps) calls[op.name] = (calls[op.name] ?? 0) + 1
    const profiled: Record<string, number> = {}
    for (const one of profile.ops) profiled[one.op] = (profiled[one.op] ?? 0) + one.calls
    expect(profiled).toEqual(calls)
    expect(profile).toMatchObject({ ...shape, numSteps: steps.length, numBarriers: barriers.filter(Boolean).length })
    const { rest, ...measured } = profile.outside
    const parts = [...profile.ops.map((one) => one.seconds), ...Object.values(measured)]
    expect(parts.every((seconds) => seconds >= 0)).toBe(true)
    expect(parts.reduce((a, b) => a + b, rest)).toBeCloseTo(profile.step, 9)
    expect(profile.ops.every((one, i, all) => i === 0 || one.seconds <= all[i - 1]!.seconds)).toBe(true)
    expect(profile.outside.preparing).toBeGreaterThan(0)
    // ceilings are those of the native kernels
    expect(profile.speed === undefined).toBe(profile.device === 'reference')
  })

  test('on the reference device has no ceilings', async () => {
    const profile = await profileModel(
      tinyModel,
      { sequences: 1, rows: 1, context: 0 },
      { rounds: 1, device: 'reference' },
    )
    expect(profile).toMatchObject({ device: 'reference', speed: undefined })
    expect(profile.ops[0]!.seconds).toBeGreaterThan(0)
  })

  test.each<[string, StepShape, object, RegExp]>([
    ['too many sequences', { sequences: 65, rows: 1, context: 0 }, {}, /maxNumSeqs: a step of 65 is above 64/],
    ['too many tokens', { sequences: 2, rows: 300, context: 0 }, {}, /maxNumBatchedTokens: a step of 600 is above 512/],
    ['a context that is too long', { sequences: 1, rows: 1, context: 1e6 }, {}, /context of 1000000 and 1 rows/],
    ['a length that is too short', { sequences: 1, rows: 1, context: 32 }, { maxModelLen: 32 }, /more than .* 32 pos/],
    ['an unknown option', { sequences: 1, rows: 1, context: 0 }, { blocks: 3 }, /option blocks/],
  ])('%s is refused', async (_, shape, options, message) => {
    const error: unknown = await profileModel(tinyModel, shape, options).catch((e: unknown) => e)
    expect(SlipwayError.is(error) && error.kind).toBe('request')
    expect(String(error)).toMatch(message)
  })
})
