import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { miniModelDirectory } from '@slipway/mini'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { EngineSupervisor } from './engine-supervisor.ts'
import { resolveEngineOptions } from './options.ts'
import type { EngineRequest } from './sequence.ts'

const options = resolveEngineOptions({ maxModelLen: 128, blockSize: 16, maxNumSeqs: 4, packedCache: false })

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-supervisor-'))
  await cp(miniModelDirectory, folder, { recursive: true })
})
afterAll(() => rm(folder, { recursive: true }))

function supervise(): { engine: EngineSupervisor; crashes: string[] } {
  const crashes: string[] = []
  const onCrash = (reason: Error): void => void crashes.push(reason.message)
  return { engine: new EngineSupervisor({ model: 'm', directory: folder, options }, () => {}, onCrash), crashes }
}

test('an exception in the thread ends what is under way with an error, once, and another thread is started', async () => {
  const { engine, crashes } = supervise()
  await engine.ready
  const first = engine.client
  const errors: Error[] = []
  const sink = { onStep: () => {}, onError: (error: Error) => void errors.push(error) }
  // no front sends such a thing; the thread throws where nothing catches
  first.submit({ requestId: 'broken', scheduling: {} } as EngineRequest, sink)
  await first.exited
  expect(errors).toHaveLength(1)
  expect(errors[0]!.message).toContain('the engine stopped during the request')
  expect(first.numRequests).toBe(0)
  expect(engine.isRestarting).toBe(true)
  await expect.poll(() => engine.isRestarting, { timeout: 10_000 }).toBe(false)
  expect(engine.client).not.toBe(first)
  expect((await engine.client.call('stats')).running).toBe(0)
  expect(crashes).toHaveLength(1)
  expect(engine.numRestarts).toBe(1)
  expect(() => first.submit({ requestId: 'late', scheduling: {} } as EngineRequest, sink)).toThrow('the engine stopped')
  await engine.close()
  // an orderly end is no crash
  expect(crashes).toHaveLength(1)
})

test('a model that can be loaded no more is given up after some tries, with the reason', async () => {
  const { engine, crashes } = supervise()
  await engine.ready
  await writeFile(join(folder, 'config.json'), '{')
  await engine.kill()
  await expect.poll(() => engine.failure, { timeout: 30_000 }).toBeDefined()
  expect(engine.failure!.message).toMatch(/^the engine failed to start 5 times: .*config\.json/)
  expect(engine.numRestarts).toBe(5)
  expect(crashes).toHaveLength(6)
  await engine.close()
}, 40_000)

test('closing cuts a pause between two tries short', async () => {
  await cp(miniModelDirectory, folder, { recursive: true })
  const { engine } = supervise()
  await engine.ready
  await writeFile(join(folder, 'config.json'), '{')
  await engine.kill()
  await expect.poll(() => engine.numRestarts, { timeout: 20_000, interval: 5 }).toBe(4)
  const started = performance.now()
  await engine.close()
  expect(performance.now() - started).toBeLessThan(2000)
  expect(engine.failure).toBeUndefined()
})
