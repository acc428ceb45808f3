import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it, vi } from 'vitest'
import { cpuDevice, defaultDevice } from './devices/cpu.ts'
import { loadNative } from './native.ts'
import { coresToPin, parseCoreList } from './pin-threads.ts'

const statusOf = (thread: string): string => readFileSync(`/proc/${thread}/status`, 'utf8')
const cpusOf = (thread: string): number[] => parseCoreList(/^Cpus_allowed_list:\s*(\S+)$/m.exec(statusOf(thread))![1]!)
const threadIds = (): string[] => readdirSync('/proc/self/task')
/** A machine of `cores` cores, each of them with the threads c and c + cores. */
const machine = (cores: number, allowed: string) => (path: string) => {
  if (path === '/proc/thread-self/status') return `Name:\tnode\nCpus_allowed_list:\t${allowed}\nMems_allowed:\t1\n`
  const cpu = Number(/cpu(\d+)/.exec(path)![1]) % cores
  return `${cpu},${cpu + cores}\n`
}

describe('coresToPin', () => {
  it('takes distinct physical cores first, only those that are allowed', () => {
    expect(coresToPin(2, 'linux', machine(4, '0-7'))).toEqual([0, 1])
    expect(coresToPin(6, 'linux', machine(4, '0-7'))).toEqual([0, 1, 2, 3, 4, 5])
    expect(coresToPin(3, 'linux', machine(4, '1,4-6'))).toEqual([1, 4, 6])
    expect(coresToPin(4, 'linux', machine(4, '1,4-6'))).toEqual([1, 4, 6, 5])
  })

  it('works without knowledge of the cores', () => {
    const status = machine(1, '2-3')
    expect(coresToPin(2, 'linux', (path) => (path.startsWith('/proc') ? status(path) : undefined))).toEqual([2, 3])
  })

  it('refuses what cannot be', () => {
    expect(() => coresToPin(3, 'linux', machine(4, '0,5'))).toThrow(
      'option pinThreads: 3 threads need as many cores, and this process may use 2 (0,5); lower threads',
    )
    expect(() => coresToPin(1, 'darwin')).toThrow(/pinThreads: darwin does not let threads be pinned; leave it out/)
    expect(() => coresToPin(1, 'linux', () => undefined)).toThrow(/pinThreads/)
  })

  it('is refused where there are no threads to pin', () => {
    vi.stubEnv('SLIPWAY_NATIVE', 'off')
    expect(() => defaultDevice({ pinThreads: true })).toThrow(/pinThreads: the reference device has no threads/)
    vi.unstubAllEnvs()
  })
})

describe.skipIf(process.platform !== 'linux' || !loadNative().native)('threads of a device', () => {
  it('are pinned when asked, and the calling thread is free again afterwards', () => {
    const before = cpusOf('thread-self')
    const others = new Set(threadIds())
    const threads = Math.min(2, before.length)
    const wanted = coresToPin(threads)
    const device = cpuDevice({ threads, pinThreads: true })
    expect(device.name).toMatch(/pinned\)$/)
    expect(cpusOf('thread-self')).toEqual([wanted[0]])
    const helpers = threadIds().filter((id) => !others.has(id))
    expect(helpers.map((id) => cpusOf(`self/task/${id}`))).toEqual(wanted.slice(1).map((core) => [core]))
    device.close()
    expect(cpusOf('thread-self')).toEqual(before)
  })

  it('are not pinned otherwise', () => {
    const before = cpusOf('thread-self')
    const others = new Set(threadIds())
    const device = cpuDevice({ threads: 3 })
    const helpers = threadIds().filter((id) => !others.has(id))
    expect(helpers).toHaveLength(2)
    for (const id of helpers) expect(cpusOf(`self/task/${id}`)).toEqual(before)
    expect(cpusOf('thread-self')).toEqual(before)
    device.close()
  })

  it('cores that do not exist are refused, and leave the calling thread as it was', () => {
    const before = cpusOf('thread-self')
    const native = loadNative().native!
    const target = native.targets().findIndex(([, supported]) => supported)
    expect(native.open(1, target, new Float64Array([8000]))).toBeUndefined()
    expect(native.open(2, target, new Float64Array([before[0]!, 8000]))).toBeUndefined()
    expect(native.open(2, target, new Float64Array([before[0]!]))).toBeUndefined()
    expect(cpusOf('thread-self')).toEqual(before)
  })
})
