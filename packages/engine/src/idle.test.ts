import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

// A process of its own, because the processor time of a process is that of all its threads.
const script = `void (async () => {
  const { LLM } = await import('${new URL('./index.js', import.meta.url).href}')
  const { miniModelDirectory } = await import('@slipway/mini')
  const llm = await LLM.load(miniModelDirectory, { maxModelLen: 512 })
  const busyStart = [performance.now(), process.cpuUsage()]
  await Promise.all([1, 2, 3].map((seed) => llm.generate('Once', { maxTokens: 64, seed, ignoreEos: true })))
  const share = ([time, usage]) => {
    const { user, system } = process.cpuUsage(usage)
    return (user + system) / 1000 / (performance.now() - time)
  }
  const busy = share(busyStart)
  await new Promise((resolve) => setTimeout(resolve, 300))
  const idleStart = [performance.now(), process.cpuUsage()]
  await new Promise((resolve) => setTimeout(resolve, 2000))
  console.log(JSON.stringify({ busy, idle: share(idleStart) }))
  await llm.close()
})()`

test('a loaded engine without requests takes less than 1 % of a core', () => {
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    encoding: 'utf8',
  })
  const { busy, idle } = JSON.parse(stdout || expect.fail(stderr)) as { busy: number; idle: number }
  expect(busy, 'the threads did compute').toBeGreaterThan(0.03)
  expect(idle).toBeLessThan(0.01)
})
